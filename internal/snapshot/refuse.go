package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// RefusedError is why a document was not taken. Reason is one of the words of [Refusal].
type RefusedError struct {
	Reason string
	Err    error
}

func (e *RefusedError) Error() string { return e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// Refuse makes a [RefusedError]; it is for the checks that the replicas add to those of this package.
func Refuse(reason, format string, args ...any) error { return refuse(reason, format, args...) }

func refuse(reason, format string, args ...any) error {
	return &RefusedError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// errDuration is the only error of a value's own reader that is told: it quotes nothing.
var errDuration = errors.New(`a duration is written like "90s" or "15m"`)

// redactOffset keeps what helps of a JSON error and drops what may quote the document's content.
func redactOffset(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("syntax error at byte %d", syntax.Offset)
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("member %q must be %s", wrongType.Field, wrongType.Type)
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return fmt.Errorf("unknown member %s", clip(name))
	}
	if errors.Is(err, errDuration) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errors.New("a member has a value of another form")
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
