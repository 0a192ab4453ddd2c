package keysecret

import "fmt"

// The reasons why an object is refused. They are stable.
const (
	// ReasonUndecodable: the content is not what this version writes.
	ReasonUndecodable = "Undecodable"
	// ReasonForeign: the content belongs to another set or another sequence.
	ReasonForeign = "Foreign"
	// ReasonInvalid: the content contradicts itself: a kid that is not its key's, an undersized key, two active keys.
	ReasonInvalid = "Invalid"
)

// RefusedError says why an object is not believed. Its message never quotes the content.
type RefusedError struct {
	Reason  string
	Message string
}

func (e *RefusedError) Error() string { return e.Message }

func refuse(reason, format string, args ...any) error {
	return &RefusedError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
