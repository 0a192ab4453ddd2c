package extauthz

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/keyturn/keyturn/internal/token"
)

// BenchmarkCheck is what a gRPC check costs beside grpc-go: from the bytes of the question to those of the answer.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	w.log.mu.Lock()
	w.Authorizer.log = slog.New(slog.DiscardHandler)
	w.log.mu.Unlock()
	raw := mint(b, signingKeys()[0], func(c *token.Claims) { c.ExpiresAt = c.IssuedAt.Add(time.Hour) })
	for name, bearer := range map[string]string{"allowed": raw, "bad signature": raw[:len(raw)-8] + "AAAAAAAA"} {
		b.Run(name, func(b *testing.B) {
			question := wireQuestion(b, bearer)
			c, request := checker{a: w.Authorizer}, new(incoming)
			ctx := peer.NewContext(b.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}})
			b.ReportAllocs()
			for b.Loop() {
				if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(question)}, request); err != nil {
					b.Fatal(err)
				}
				if answer, _ := c.check(ctx, &request.Request); ((*answer)[1] == 0) != (name == "allowed") {
					b.Fatalf("%q", *answer)
				}
			}
		})
	}
}

// wireQuestion is a Check of 1.6 kB with 17 headers.
func wireQuestion(b *testing.B, bearer string) []byte {
	headers := map[string]string{"authorization": "Bearer " + bearer}
	for i := range 16 {
		headers["x-header-"+string(rune('a'+i))] = strings.Repeat("v", 30)
	}
	raw, err := proto.Marshal(&auth.CheckRequest{Attributes: &auth.AttributeContext{
		ContextExtensions: map[string]string{PolicyExtension: "-/default"},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Id: "1", Method: "GET", Path: "/orders/17", Host: "app.example.test", Scheme: "https", Headers: headers, Size: -1,
		}},
	}})
	check(b, err)
	return raw
}
