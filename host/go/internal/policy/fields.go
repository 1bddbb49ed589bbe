package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"wif/internal/contract"
)

// IsName says whether it is the name of a header field (RFC 9110 section 5.1), in lower case.
func IsName(name string) bool {
	return name != "" && only(name, func(c byte) bool { return isLowerOrDigit(c) || strings.IndexByte("!#$%&'*+.^_`|~-", c) >= 0 })
}

// IsValue says whether it is a field's value that every reader takes as it stands: visible ASCII, with spaces and tabs inside.
func IsValue(value string) bool {
	visible := only(value, func(c byte) bool { return c >= ' ' && c < 0x7f || c == '\t' })
	return visible && strings.Trim(value, " \t") == value
}

// CheckField refuses what is no header field. The error does not show the value.
func CheckField(field contract.Header) error {
	switch {
	case IsName(field.Name) && IsValue(field.Value):
		return nil
	case IsName(field.Name):
		return fmt.Errorf("the value of the header %s is no field value", field.Name)
	case IsName(strings.ToLower(field.Name)) && isVisible(field.Name):
		return fmt.Errorf("the header %s is not in lower case", field.Name)
	}
	return errors.New("a header's name is none")
}

// IsCredentialField says whether a credential is made of fields of this name.
func IsCredentialField(name string) bool { return slices.Contains(contract.Authority.Usable.Set, name) }

// IsWholeCredential says whether a field of this name is a credential by itself.
func IsWholeCredential(name string) bool {
	return slices.Contains(contract.Authority.Usable.Credential, name)
}

// IsMerged says whether the values of a field of this name are added to a caller's own.
func IsMerged(name string) bool { return slices.Contains(contract.Authority.Usable.Merge, name) }

// checkExchangeField refuses a field that an exchange does not have.
func checkExchangeField(field contract.Header) error {
	exchange := contract.Authority.Exchange
	if !slices.Contains(exchange.Headers, field.Name) {
		return fmt.Errorf("an exchange has no header %s", contract.Shown(field.Name))
	}
	if field.Name == "content-type" && field.Value != exchange.ContentType {
		return errors.New("an exchange is JSON")
	}
	return nil
}
