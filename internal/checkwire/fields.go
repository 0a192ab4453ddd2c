package checkwire

import (
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields goes over the fields of a message that have a length.
type fields struct {
	rest []byte
	// value is the present field's.
	value []byte
	// whole tells at the end that nothing was malformed.
	whole bool
}

// end is no field's number.
const end = 0

// next moves on and returns the number of the field. Fields of other types are passed over: those that are read have a
// length, and of another type they would be unknown ones.
func (f *fields) next() int {
	for len(f.rest) > 0 {
		// Nearly every field has a tag and a length of one byte each.
		if len(f.rest) > 1 && f.rest[0]&(1<<7|7) == byte(protowire.BytesType) && f.rest[0] > 7 && f.rest[1] < 1<<7 {
			number, whole := int(f.rest[0]>>3), 2+int(f.rest[1])
			if whole > len(f.rest) {
				return end
			}
			f.value, f.rest = f.rest[2:whole], f.rest[whole:]
			return number
		}
		number, kind, n := protowire.ConsumeTag(f.rest)
		if n < 0 || number > protowire.MaxValidNumber {
			return end
		}
		f.rest = f.rest[n:]
		if kind == protowire.BytesType {
			if f.value, n = protowire.ConsumeBytes(f.rest); n < 0 {
				return end
			}
			f.rest = f.rest[n:]
			return int(number)
		}
		if n = protowire.ConsumeFieldValue(number, kind, f.rest); n < 0 {
			return end
		}
		f.rest = f.rest[n:]
	}
	f.whole = true
	return end
}

func text(b []byte) (string, bool) { return shared(b), utf8.Valid(b) }

// shared is b as a text, in its memory.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
