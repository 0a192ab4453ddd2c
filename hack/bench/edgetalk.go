package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

// clientHeaders are what a browser's request has beside the token: with that, seventeen headers and 1.6 kB.
var clientHeaders = [...][2]string{
	{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}, {"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-GB,en;q=0.7,de;q=0.3"}, {"cache-control", "no-cache"}, {"pragma", "no-cache"}, {"priority", "u=0, i"}, {"referer", "https://" + app + "/orders"},
	{"sec-fetch-dest", "document"}, {"sec-fetch-mode", "navigate"}, {"sec-fetch-site", "same-origin"}, {"sec-fetch-user", "?1"},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}, {"x-forwarded-for", "203.0.113.17"}, {"x-forwarded-proto", "https"},
	{"x-request-id", "0f2d7a43-6f0e-4d0c-9a55-3f6d8f1f6b11"}, {"x-envoy-expected-rq-timeout-ms", "15000"},
}

// The parts of a CheckRequest that do not change.
var checkHTTP, checkRest = func() (http, rest []byte) {
	field := func(to []byte, number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
	}
	text := func(to []byte, number protowire.Number, value string) []byte { return field(to, number, []byte(value)) }
	entry := func(name, value string) []byte { return text(text(nil, 1, name), 2, value) }
	http = text(text(text(text(text(nil, 1, "1234567890123456789"), 2, "GET"), 4, "/orders/17"), 5, app), 6, "https")
	http = protowire.AppendVarint(protowire.AppendTag(http, 9, protowire.VarintType), ^uint64(0)) // the size, -1
	http = text(http, 10, "HTTP/2")
	for _, h := range clientHeaders {
		http = field(http, 3, entry(h[0], h[1]))
	}
	peer := func(address string) []byte {
		return field(nil, 1, field(nil, 1, protowire.AppendVarint(protowire.AppendTag(text(nil, 2, address), 3, protowire.VarintType), 443)))
	}
	rest = field(field(nil, 1, peer("203.0.113.17")), 2, peer("10.0.0.1"))
	return http, field(rest, 10, entry("keyturn.dev/policy", "-/default"))
}()

// appendCheck writes a CheckRequest with this token.
func appendCheck(to []byte, token string) []byte {
	const name, scheme = "authorization", "Bearer "
	bytesField := func(size int) int { return 1 + protowire.SizeBytes(size) } // every number here is below 16
	value := len(scheme) + len(token)
	header := bytesField(len(name)) + bytesField(value)
	http := len(checkHTTP) + bytesField(header)
	request := bytesField(http)
	attributes := len(checkRest) + bytesField(request)
	begin := func(number protowire.Number, size int) {
		to = protowire.AppendVarint(protowire.AppendTag(to, number, protowire.BytesType), uint64(size)) //nolint:gosec // small
	}
	begin(1, attributes)
	to = append(to, checkRest...)
	begin(4, request)
	begin(2, http)
	to = append(to, checkHTTP...)
	begin(3, header)
	begin(1, len(name))
	to = append(to, name...)
	begin(2, value)
	return append(append(to, scheme...), token...)
}

// grpcTalker is a client of HTTP/2 (RFC 9113) that knows what calls of one method need: its requests all have the same
// header block, of which the server's decoder knows every field, and of the answers it reads the data.
type grpcTalker struct {
	out     []byte
	in      []byte
	block   []byte
	free    int
	stream  uint32
	window  int // what the server takes on the connection
	streams int // and on a new stream
	taken   int // received since the last window update
	calls   map[uint32]*grpcCall
}

// grpcCall is a call that is on its way.
type grpcCall struct {
	tag  int
	data []byte
}

const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameAway, frameWindow = 0, 1, 3, 4, 6, 7, 8
	flagEnd, flagAck, flagEndHeaders                                                      = 1, 1, 4
	bigWindow                                                                             = 1 << 30
)

func newGRPCTalker(atOnce int) *grpcTalker {
	t := &grpcTalker{free: atOnce, stream: 1, window: 65535, streams: 65535, calls: map[uint32]*grpcCall{}}
	t.out = append(t.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
	t.frame(frameSettings, 0, 0, nil)
	t.frame(frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, bigWindow))
	return t
}

func (t *grpcTalker) frame(kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	t.out = append(t.out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	t.out = append(binary.BigEndian.AppendUint32(t.out, stream), payload...)
}

// headers is the header block of the next request: the first has the names and values, the others say that it is they.
func (t *grpcTalker) headers() []byte {
	first := t.block == nil
	var block bytes.Buffer
	if first {
		encoder := hpack.NewEncoder(&block)
		write := func() {
			for _, h := range [...][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", "ext-authz"},
				{"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-timeout", "5S"}} {
				_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) // cannot fail: a buffer
			}
		}
		write()
		whole := bytes.Clone(block.Bytes())
		block.Reset()
		write()
		t.block = block.Bytes()
		return whole
	}
	return t.block
}

// mostBytes is more than any request has.
const mostBytes = 4 << 10

func (t *grpcTalker) room() int {
	if t.window < mostBytes || t.streams < mostBytes {
		return 0
	}
	return t.free
}

func (t *grpcTalker) begin(token string, tag int) {
	t.frame(frameHeaders, flagEndHeaders, t.stream, t.headers())
	at := len(t.out)
	t.out = append(t.out, 0, 0, 0, frameData, flagEnd)
	t.out = append(binary.BigEndian.AppendUint32(t.out, t.stream), 0, 0, 0, 0, 0)
	t.out = appendCheck(t.out, token)
	n := len(t.out) - at - 9
	t.out[at], t.out[at+1], t.out[at+2] = byte(n>>16), byte(n>>8), byte(n)
	binary.BigEndian.PutUint32(t.out[at+10:], uint32(n-5)) //nolint:gosec // small
	t.window -= n
	t.calls[t.stream] = &grpcCall{tag: tag}
	t.stream += 2
	t.free--
}

func (t *grpcTalker) output() []byte { return t.out }

func (t *grpcTalker) sent(n int) { t.out = t.out[:copy(t.out, t.out[n:])] }

func (t *grpcTalker) input(b []byte, done func(int, bool, []byte)) error {
	t.in = append(t.in, b...)
	rest := t.in
	for len(rest) >= 9 {
		n := 9 + int(rest[0])<<16 + int(rest[1])<<8 + int(rest[2])
		if len(rest) < n {
			break
		}
		if err := t.received(rest[3], rest[4], binary.BigEndian.Uint32(rest[5:])&^(1<<31), rest[9:n], done); err != nil {
			return err
		}
		rest = rest[n:]
	}
	t.in = t.in[:copy(t.in, rest)]
	return nil
}

func (t *grpcTalker) received(kind, flags byte, stream uint32, payload []byte, done func(int, bool, []byte)) error {
	switch kind {
	case frameData, frameHeaders:
		return t.answer(kind, flags, stream, payload, done)
	case frameSettings:
		if flags&flagAck == 0 {
			for p := payload; len(p) >= 6; p = p[6:] {
				if binary.BigEndian.Uint16(p) == 4 { // SETTINGS_INITIAL_WINDOW_SIZE
					t.streams = int(binary.BigEndian.Uint32(p[2:]))
				}
			}
			t.frame(frameSettings, flagAck, 0, nil)
		}
	case framePing:
		if flags&flagAck == 0 {
			t.frame(framePing, flagAck, 0, payload)
		}
	case frameWindow:
		if stream == 0 && len(payload) == 4 {
			t.window += int(binary.BigEndian.Uint32(payload))
		}
	case frameReset, frameAway:
		return fmt.Errorf("the server ended it: frame %d, %x", kind, payload)
	}
	return nil
}

func (t *grpcTalker) answer(kind, flags byte, stream uint32, payload []byte, done func(int, bool, []byte)) error {
	c := t.calls[stream]
	if c == nil {
		return fmt.Errorf("an answer on stream %d, of which nobody knows", stream)
	}
	if kind == frameData {
		c.data = append(c.data, payload...)
		if t.taken += len(payload); t.taken > bigWindow/2 {
			t.frame(frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(t.taken))) //nolint:gosec // small
			t.taken = 0
		}
	}
	if flags&flagEnd == 0 {
		return nil
	}
	if len(c.data) < 7 || c.data[5] != 1<<3|2 {
		return errors.New("a gRPC error in the place of an answer")
	}
	delete(t.calls, stream)
	t.free++
	done(c.tag, c.data[6] == 0, c.data) // an empty status is OK
	return nil
}

// httpTalker is a keep-alive connection with one sub-request at a time.
type httpTalker struct {
	out, in []byte
	busy    bool
	tag     int
}

func (t *httpTalker) room() int {
	if t.busy {
		return 0
	}
	return 1
}

func (t *httpTalker) begin(token string, tag int) {
	t.out = append(t.out, "GET /authz/nginx/-/default HTTP/1.1\r\nHost: "+app+"\r\nX-Original-Method: GET\r\nX-Original-URL: https://"+app+"/orders/17\r\n"...)
	for _, h := range clientHeaders {
		t.out = append(append(append(append(t.out, h[0]...), ": "...), h[1]...), "\r\n"...)
	}
	t.out = append(append(append(t.out, "Authorization: Bearer "...), token...), "\r\n\r\n"...)
	t.busy, t.tag = true, tag
}

func (t *httpTalker) output() []byte { return t.out }
func (t *httpTalker) sent(n int)     { t.out = t.out[:copy(t.out, t.out[n:])] }

func (t *httpTalker) input(b []byte, done func(int, bool, []byte)) error {
	t.in = append(t.in, b...)
	a, whole, err := parse(t.in)
	if err != nil || !whole {
		return err
	}
	if a.status != 200 && a.status != 401 {
		return errors.New("status " + strconv.Itoa(a.status))
	}
	t.busy = false
	done(t.tag, a.status == 200, t.in)
	t.in = t.in[:0]
	return nil
}

// contains is bytes.Contains without a copy of the text.
func contains(b []byte, text string) bool {
	return bytes.Contains(b, unsafe.Slice(unsafe.StringData(text), len(text)))
}
