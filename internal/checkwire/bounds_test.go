package checkwire

import (
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// wrapped is b as the field of a message, with the fields around it from the inside to the outside.
func wrapped(b []byte, numbers ...protowire.Number) []byte {
	for _, n := range numbers {
		b = protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
	}
	return b
}

// many is a message with n headers, as short as they can be, in one of the places for them.
func many(n int, place string) []byte {
	var all []byte
	for i := range n {
		name := wrapped([]byte(strconv.FormatInt(int64(i), 36)), headerKey)
		switch place {
		case "map":
			all = append(all, wrapped(name, httpHeaders)...)
		case "one name":
			all = append(all, wrapped(nil, httpHeaders)...)
		case "list":
			all = append(all, wrapped(nil, listHeaders)...)
		case "extensions":
			all = append(all, wrapped(nil, attributesExtensions)...)
		}
	}
	switch place {
	case "extensions":
		return wrapped(all, checkAttributes)
	case "list":
		all = wrapped(all, httpHeaderMap)
	}
	return wrapped(all, requestHTTP, attributesRequest, checkAttributes)
}

// So many headers as nobody sends cost little, and are no message; what is kept of many is little, too.
func TestHeadersAreBounded(t *testing.T) {
	const megabyte = 1 << 20
	for place, per := range map[string]int{"map": 8, "one name": 2, "list": 2, "extensions": 2} {
		t.Run(place, func(t *testing.T) {
			for n, malformed := range map[int]bool{MaxHeaders: false, MaxHeaders + 1: place != "one name", megabyte / per: place != "one name"} {
				b := many(n, place)
				var r Request
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				r.Read(b)
				runtime.ReadMemStats(&after)
				if r.Malformed != malformed || malformed && len(r.Headers)+len(r.HeaderMap)+len(r.extensions) > 0 {
					t.Errorf("%d: malformed %v, want %v", n, r.Malformed, malformed)
				}
				if cost := after.TotalAlloc - before.TotalAlloc; cost > megabyte/2 {
					t.Errorf("%d in %d bytes cost %d bytes", n, len(b), cost)
				}
				r.Reset()
				if kept := max(cap(r.Headers), cap(r.HeaderMap), cap(r.extensions)); kept > maxKept {
					t.Errorf("%d: room for %d is kept", n, kept)
				}
			}
		})
	}
	var r Request
	r.Read(many(20, "map"))
	if r.Reset(); cap(r.Headers) < 20 {
		t.Error("room for few is not kept")
	}
}
