package contract

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var isName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9a-z-]+$").MatchString

// isValue says whether it is a field's value that every reader takes as it stands: visible ASCII, with spaces and tabs inside.
func isValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return value == strings.Trim(value, " \t")
}

// Check refuses what is no header field (RFC 9110 section 5) with its name in lower case. The error does not show the value.
func (h Header) Check() error {
	switch {
	case isName(h.Name) && isValue(h.Value):
		return nil
	case isName(h.Name):
		return fmt.Errorf("the value of the header %s is no field value", h.Name)
	case isName(strings.ToLower(h.Name)):
		return fmt.Errorf("the header %s is not in lower case", Shown(h.Name))
	}
	return errors.New("a header's name is none")
}
