package redis

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// stamp writes a time as the scripts compare it: nanoseconds since 1970 in 20 digits. Earlier times, the zero time among
// them, are 0, and those past the year 2262 are its beginning.
func stamp(t time.Time) string {
	seconds := t.Unix()
	switch {
	case seconds < 0:
		return fmt.Sprintf("%020d", 0)
	case seconds > math.MaxInt64/int64(time.Second)-1:
		return fmt.Sprintf("%020d", int64(math.MaxInt64))
	}
	return fmt.Sprintf("%020d", t.UnixNano())
}

// span writes a length of time in the same way; a negative one is 0.
func span(d time.Duration) string { return fmt.Sprintf("%020d", max(d, 0)) }

// timeOf reads what stamp wrote.
func timeOf(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}, err
	}
	return time.Unix(0, n).UTC(), nil
}

// shortHash is half a SHA-256: names and addresses are not in keys, and may be long.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func familyKey(k store.FamilyKey) string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// field is the place of a family's field in a reply; lua/family.lua has the same order.
const (
	fieldNumber = iota
	fieldSessionID
	fieldSubject
	fieldName
	fieldSource
	fieldClient
	fieldGeneration
	fieldCreated
	fieldLastUsed
	fieldIdle
	fieldAbsolute
	fieldAccess
	fieldCurrent
	fieldPrevious
	fieldSealed1
	fieldSealed2
	fieldRevoked
	fieldForget
	fieldOwnerHash
	fieldSaid
	fieldCount
)

// said is what a family keeps of its user beside the names.
type said struct {
	Role   string            `json:"role,omitempty"`
	Claims map[string]string `json:"claims,omitempty"`
}

// remembered writes role and claims; empty where there are none.
func remembered(o store.Owner) (string, error) {
	if o.Role == "" && len(o.Claims) == 0 {
		return "", nil
	}
	text, err := json.Marshal(said{o.Role, o.Claims})
	return string(text), err
}

var errDamaged = errors.New("a stored family is damaged")

// family reads a family from a reply.
func family(reply any) (store.Family, error) {
	list, ok := reply.([]any)
	if !ok || len(list) != fieldCount {
		return store.Family{}, errDamaged
	}
	var text [fieldCount]string
	for i, v := range list {
		if text[i], ok = v.(string); !ok {
			return store.Family{}, errDamaged
		}
	}
	f := store.Family{
		Owner: store.Owner{
			Subject: text[fieldSubject], Name: text[fieldName], Source: text[fieldSource], Client: text[fieldClient],
		},
		SessionID: text[fieldSessionID],
	}
	var errs [8]error
	f.Number, errs[0] = strconv.ParseUint(text[fieldNumber], 10, 64)
	f.Generation, errs[1] = strconv.ParseUint(text[fieldGeneration], 10, 64)
	f.RevokedSeq, errs[2] = strconv.ParseUint(text[fieldRevoked], 10, 64)
	for i, t := range []struct {
		to   *time.Time
		from int
	}{
		{&f.Created, fieldCreated},
		{&f.LastUsed, fieldLastUsed},
		{&f.IdleExpiry, fieldIdle},
		{&f.AbsoluteExpiry, fieldAbsolute},
		{&f.AccessExpiry, fieldAccess},
	} {
		*t.to, errs[3+i] = timeOf(text[t.from])
	}
	if text[fieldSaid] != "" {
		var s said
		if err := json.Unmarshal([]byte(text[fieldSaid]), &s); err != nil {
			return store.Family{}, errDamaged
		}
		f.Role, f.Claims = s.Role, s.Claims
	}
	forget, err := timeOf(text[fieldForget])
	f.ForgetAfter = forget
	if err = errors.Join(append(errs[:], err)...); err != nil {
		return store.Family{}, errDamaged
	}
	copy(f.Current[:], text[fieldCurrent])
	copy(f.Previous[:], text[fieldPrevious])
	if sealed := text[fieldSealed1] + text[fieldSealed2]; sealed != "" {
		f.Successor = []byte(sealed)
	}
	return f, nil
}
