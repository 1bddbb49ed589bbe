package contract

// Refusal is a configuration-error: the configuration can never work.
type Refusal struct {
	// Field is a path such as federation.organization_id; empty for the document as a whole.
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is for people.
func (r *Refusal) Error() string { return r.Field + ": " + r.Message }
