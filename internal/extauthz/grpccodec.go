package extauthz

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/keyturn/keyturn/internal/checkwire"
)

// codec reads and writes the messages of Check without their generated types, and leaves every other message, those of
// the health service, to protobuf.
type codec struct{ encoding.CodecV2 }

// Marshal hands on what is encoded already.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ok := v.(reply); ok {
		return mem.BufferSlice{mem.SliceBuffer(answer)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal never fails for a Check. The bytes are copied: they are used again after the call, and texts of the request
// may be needed longer.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if request, ok := v.(*checkwire.Request); ok {
		request.Read(data.Materialize())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
