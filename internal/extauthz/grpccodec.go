package extauthz

import (
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/keyturn/keyturn/internal/checkwire"
)

// codec reads and writes the messages of Check without their generated types, and leaves every other message, those of
// the health service, to protobuf.
type codec struct{ encoding.CodecV2 }

// Marshal hands on what is encoded already. grpc-go gives its memory back when it is sent.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ok := v.(reply); ok {
		return mem.BufferSlice{mem.NewBuffer(answer, &replies)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal never fails for a Check. The bytes are copied: grpc-go uses its own again before the answer.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if request, ok := v.(*incoming); ok {
		request.read(data)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// incoming is a Check with the memory in which its texts are. Both are used again.
type incoming struct {
	checkwire.Request
	memory []byte
}

// maxKept bounds what a Check leaves for the next one. Envoy's have 60 kB of headers at most.
const maxKept = 64 << 10

var requests = sync.Pool{New: func() any { return new(incoming) }}

func (r *incoming) read(data mem.BufferSlice) {
	size := data.Len()
	if cap(r.memory) < size {
		r.memory = make([]byte, size)
	}
	data.CopyTo(r.memory[:size])
	r.Read(r.memory[:size])
}

// recycle ends the use of r. With kept, somebody may hold on to its texts, and the next one gets other memory.
func (r *incoming) recycle(kept bool) {
	r.Reset()
	if kept || cap(r.memory) > maxKept {
		r.memory = nil
	}
	requests.Put(r)
}
