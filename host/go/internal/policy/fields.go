package policy

import (
	"errors"
	"fmt"
	"slices"

	"wif/internal/contract"
)

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
