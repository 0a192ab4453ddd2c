package checkwire

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func soak(small, full int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return full
	}
	return small
}

// message is a request as Envoy makes it, more or less.
func message(r *rand.Rand) *auth.CheckRequest {
	name := func() string {
		return []string{"authorization", "cookie", "Cookie", "x-auth-user", "", "accept", "ü"}[r.IntN(7)]
	}
	http := &auth.AttributeContext_HttpRequest{Id: "17", Method: "GET", Path: "/orders?id=" + strconv.Itoa(r.IntN(1000)), Host: "app.example.test", Scheme: "https", Protocol: "HTTP/2", Size: -1, Query: "q", Body: "body", RawBody: []byte{0xff}}
	if r.IntN(3) > 0 {
		http.Headers = map[string]string{}
		for range r.IntN(6) {
			http.Headers[name()] = strconv.Itoa(r.IntN(100))
		}
		for i := range r.IntN(2) * r.IntN(60) {
			http.Headers["x-"+strconv.Itoa(i)] = "v"
		}
	}
	if r.IntN(3) == 0 {
		http.HeaderMap = &core.HeaderMap{}
		for range r.IntN(6) {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &core.HeaderValue{Key: name(), Value: strconv.Itoa(r.IntN(10)), RawValue: [][]byte{nil, {}, []byte("raw"), {0xff}}[r.IntN(4)]})
		}
	}
	m := &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source:      &auth.AttributeContext_Peer{Service: "s", Labels: map[string]string{"a": "b"}, Principal: "spiffe://x"},
		Destination: &auth.AttributeContext_Peer{Certificate: "c"}, TlsSession: &auth.AttributeContext_TLSSession{Sni: "app.example.test"},
		Request: &auth.AttributeContext_Request{Time: timestamppb.Now(), Http: http},
	}}
	if r.IntN(4) > 0 {
		m.Attributes.ContextExtensions = map[string]string{"keyturn.dev/policy": "-/default", "": "x"}
	}
	return m
}

// odd is a field that nobody expects: of any number and type, also those that are read.
func odd(r *rand.Rand) []byte {
	number := protowire.Number(1 + r.IntN(14))
	switch r.IntN(8) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), r.Uint64())
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 7)
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), 7)
	case 3: // a group within a group
		b := protowire.AppendTag(nil, number, protowire.StartGroupType)
		b = protowire.AppendTag(b, 3, protowire.StartGroupType)
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), []byte("x"))
		b = protowire.AppendTag(b, protowire.Number(3+r.IntN(2)), protowire.EndGroupType)
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	case 4: // the end of a group that never began
		return protowire.AppendTag(nil, number, protowire.EndGroupType)
	case 5: // a number and a length with more bytes than they need
		return []byte{byte(number)<<3 | 2 | 0x80, 0x80, 0x80, 0x00, 0x82, 0x80, 0x00, 'a', 'b'}
	case 6:
		return [][]byte{{0x02, 0x00}, {0xfa, 0xff, 0xff, 0xff, 0x7f, 0x00}, {0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, {0x07, 0x00}}[r.IntN(5)]
	default:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), [][]byte{nil, []byte("text"), {0xff}, {0x0a, 0x01, 'k'}, {0x12, 0x01, 'v'}}[r.IntN(5)])
	}
}

// nested puts a field into a message at some depth, as an encoder that writes in pieces would.
func nested(r *rand.Rand, inner []byte) []byte {
	path := []protowire.Number{checkAttributes, attributesRequest, requestHTTP, httpHeaderMap, listHeaders}
	if r.IntN(3) == 0 {
		path = []protowire.Number{checkAttributes, attributesRequest, requestHTTP, httpHeaders}
	}
	if r.IntN(5) == 0 {
		path = []protowire.Number{checkAttributes, attributesExtensions}
	}
	for depth := r.IntN(len(path) + 1); depth > 0; depth-- {
		inner = protowire.AppendBytes(protowire.AppendTag(nil, path[depth-1], protowire.BytesType), inner)
	}
	return inner
}

// Whatever the bytes, the reader makes of them what protobuf makes.
func TestReadsAsProtobuf(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	malformed := 0
	for i := range soak(20_000, 2_000_000) {
		b, err := proto.MarshalOptions{Deterministic: false}.Marshal(message(r))
		if err != nil {
			t.Fatal(err)
		}
		for range r.IntN(4) {
			switch r.IntN(5) {
			case 0:
				more, _ := proto.Marshal(message(r))
				b = append(b, more...)
			case 1, 2:
				b = append(b, nested(r, odd(r))...)
			case 3:
				b = append(nested(r, odd(r)), b...)
			case 4:
				if r.IntN(2) == 0 {
					b = b[:r.IntN(len(b)+1)]
				} else if len(b) > 0 {
					b[r.IntN(len(b))] ^= 1 << r.IntN(8)
				}
			}
		}
		if problem := differs(b); problem != "" {
			t.Fatalf("message %d, %x\n%s", i, b, problem)
		}
		if ours(b).Malformed {
			malformed++
		}
	}
	if malformed < 500 {
		t.Errorf("only %d of the messages were malformed", malformed)
	}
}

func TestOneRequestAfterTheOther(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var again Request
	for range 500 {
		b, err := proto.Marshal(message(r))
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(5) == 0 {
			b = b[:len(b)/2]
		}
		var fresh Request
		fresh.Read(bytes.Clone(b))
		again.Read(bytes.Clone(b))
		slices.SortFunc(again.extensions, compare)
		slices.SortFunc(fresh.extensions, compare)
		if fresh.Malformed != again.Malformed || fresh.Path != again.Path || !slices.Equal(fresh.Headers, again.Headers) || !slices.Equal(fresh.HeaderMap, again.HeaderMap) || !slices.Equal(fresh.extensions, again.extensions) {
			t.Fatalf("%+v\n%+v", fresh, again)
		}
	}
}

func compare(a, b Header) int { return strings.Compare(a.Name, b.Name) }

// The worst that a proxy lets through costs no more than its length.
func TestManyHeaders(t *testing.T) {
	http := []byte{}
	for i := range 60_000 {
		entry := protowire.AppendString(protowire.AppendTag(nil, headerKey, protowire.BytesType), "h"+strconv.Itoa(i%900))
		http = protowire.AppendBytes(protowire.AppendTag(http, httpHeaders, protowire.BytesType), entry)
	}
	request := protowire.AppendBytes(protowire.AppendTag(nil, requestHTTP, protowire.BytesType), http)
	attributes := protowire.AppendBytes(protowire.AppendTag(nil, attributesRequest, protowire.BytesType), request)
	if got := ours(protowire.AppendBytes(protowire.AppendTag(nil, checkAttributes, protowire.BytesType), attributes)); len(got.Headers) != 900 {
		t.Errorf("%d headers", len(got.Headers))
	}
}

func TestReadingIsCheap(t *testing.T) {
	b := typical(t)
	var r Request
	r.Read(b)
	if len(r.Headers) != 17 || r.Extension("keyturn.dev/policy") != "-/default" {
		t.Fatalf("%+v", r)
	}
	if n := testing.AllocsPerRun(100, func() { r.Read(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// typical is a request of 1.6 kB with 17 headers.
func typical(t testing.TB) []byte {
	headers := map[string]string{"authorization": "Bearer " + strings.Repeat("t", 780)}
	for i := range 16 {
		headers["x-header-"+strconv.Itoa(i)] = strings.Repeat("v", 20)
	}
	b, err := proto.Marshal(&auth.CheckRequest{Attributes: &auth.AttributeContext{ContextExtensions: map[string]string{"keyturn.dev/policy": "-/default"},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{Id: "1", Method: "GET", Path: "/orders/17", Host: "app.example.test", Scheme: "https", Headers: headers}}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkRead(b *testing.B) {
	raw := typical(b)
	b.Run("excerpt", func(b *testing.B) {
		var r Request
		for b.Loop() {
			r.Read(raw)
		}
	})
	b.Run("generated", func(b *testing.B) {
		for b.Loop() {
			var m auth.CheckRequest
			if err := proto.Unmarshal(raw, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
