package extauthz

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/token"
)

// plainBytes sends and receives messages as they are.
type plainBytes struct{}

func (plainBytes) Name() string { return "proto" }
func (plainBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (plainBytes) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Bytes that are no CheckRequest are refused by an answer: an error would let the request through at a proxy that is set
// to fail open.
func TestBrokenMessagesAreDenied(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	conn, err := grpc.NewClient("passthrough:///"+on.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	good, err := proto.Marshal((&envoy{extensions: map[string]string{PolicyExtension: "-/default"}}).request(get(bearer(mint(t, signingKeys()[0])))))
	check(t, err)
	var crowd []byte // of headers without name and value
	for range 500_000 {
		crowd = append(crowd, 0x1a, 0x00)
	}
	for _, field := range []protowire.Number{2, 4, 1} {
		crowd = protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), crowd)
	}
	for i := range 2000 {
		crowd = append(crowd, 0x0a, 0x0c, 0x22, 0x0a, 0x12, 0x08, 0x1a, 0x06, 0x0a, 0x04, '0'+byte(i%10), '0'+byte(i/10%10), '0'+byte(i/100%10), '0'+byte(i/1000))
	}
	for name, message := range map[string][]byte{
		"more headers than anybody sends": crowd,
		"garbage":                         []byte("garbage"), "cut": good[:len(good)-3], "more": append(append([]byte{}, good...), 0xff), "group": {0x0b}, "text": {0x0a, 0x06, 0x22, 0x04, 0x12, 0x02, 0x12, 0xff},
	} {
		var raw []byte
		check(t, conn.Invoke(t.Context(), "/envoy.service.auth.v3.Authorization/Check", &message, &raw, grpc.ForceCodecV2(plainBytes{})))
		var answer auth.CheckResponse
		check(t, proto.Unmarshal(raw, &answer))
		out, err := apply(get(), &answer)
		if err != nil || out.upstream != nil || out.status != 403 || out.headers["X-Keyturn-Code"] != string(policy.BadRequestTarget) {
			t.Errorf("%s: %+v %v", name, out, err)
		}
	}
	// The same connection serves protobuf too.
	status, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || status.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v %v", status, err)
	}
}

// What a Check was read from is used for the next one: nothing that lasts longer may point there.
func TestNothingKeepsTheMemoryOfACheck(t *testing.T) {
	w := newWorld(t)
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}})
	request := &incoming{}
	ask := func(raw string, want int, kept bool) (user string) {
		t.Helper()
		message, err := proto.Marshal((&envoy{extensions: map[string]string{PolicyExtension: "-/default"}}).request(get(bearer(raw))))
		check(t, err)
		check(t, codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, request))
		encoded, got := checker{a: w.Authorizer}.check(ctx, &request.Request)
		for i := range request.memory { // as a request of somebody else would
			request.memory[i] = '?'
		}
		var answer auth.CheckResponse
		check(t, proto.Unmarshal(*encoded, &answer))
		out, err := apply(get(), &answer)
		check(t, err)
		if out.status != want || got != kept {
			t.Errorf("status %d, want %d; kept %v, want %v", out.status, want, got, kept)
		}
		return strings.Join(out.upstream["x-auth-user"], ",")
	}
	ann := mint(t, signingKeys()[0])
	bob := mint(t, signingKeys()[0], func(c *token.Claims) { c.Subject = "bob" })
	for range 3 { // verified, then remembered
		for raw, want := range map[string]string{ann: "ann", bob: "bob"} {
			if user := ask(raw, 200, false); user != want {
				t.Errorf("user %q, want %q", user, want)
			}
		}
		ask(ann[:len(ann)-8]+"AAAAAAAA", 401, false)
		ask("garbage", 401, false)
	}
	if strings.Contains(w.log.String(), "??") || strings.Contains(scrape(t, w), "??") {
		t.Error("the log or the metrics show what came later")
	}
	before := request.memory
	request.recycle(false)
	if request.memory == nil || len(before) == 0 {
		t.Error("memory is not used again")
	}
	request.memory = make([]byte, maxKept+1)
	if request.recycle(false); request.memory != nil {
		t.Error("a large Check leaves its memory")
	}

	w = newLegacyWorld(t)
	ask(ann, 200, true) // what asks about sessions may go on
}

// A token that was found valid, and is remembered, dies when it should: by its own end, its session's, its key's, and by
// a document under which it would not be valid.
func TestRememberedTokensDie(t *testing.T) {
	now := time.Now()
	at := now
	w := newWorld(t)
	w.now = func() time.Time { return at }
	w.put(t, document(2, 2, signingKeys()[0], signingKeys()[1]))
	answers := func(raw string) policy.Reason {
		return w.decide(t.Context(), question{protocol: "nginx", policy: policy.DefaultPolicy, method: "GET", scheme: "https", host: "app.example.test", target: "/", peer: loopback,
			authorization: []string{"Bearer " + raw}}).Reason
	}
	expect := func(what, raw string, want policy.Reason) {
		t.Helper()
		if got := answers(raw); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	one, two := mint(t, signingKeys()[0]), mint(t, signingKeys()[1])
	for range 3 {
		expect("new", one, policy.OK)
		expect("new", two, policy.OK)
	}
	if s := w.edges.Load().tokens.Stats(); s.Hits != 4 || s.Entries != 2 {
		t.Fatalf("nothing is remembered: %+v", s)
	}
	at = now.Add(12 * time.Minute)
	expect("after its end", one, policy.ReasonExpired)
	at = now
	expect("before its end", one, policy.OK)

	w.put(t, document(3, 3, signingKeys()[0]))
	expect("its key is gone", two, policy.UnknownKey)
	expect("a key beside it is gone", one, policy.OK)
	if s := w.edges.Load().tokens.Stats(); s.Entries != 1 {
		t.Errorf("entries of a key that is gone, or none of the other: %+v", s)
	}
	doc := document(4, 4, signingKeys()[0])
	doc.Audiences = []string{"https://else.example.test"}
	w.put(t, doc)
	expect("another audience", one, policy.WrongAudience)
	w.put(t, document(5, 5, signingKeys()[0]))
	expect("the audience again", one, policy.OK)
	check(t, w.feed.list.Apply(revocation.Entry{Seq: 1, Kind: revocation.Key, Value: signingKeys()[0].KID(), Expires: now.Add(time.Hour)}))
	expect("revoked", one, policy.ReasonRevoked)

	answer := scrape(t, w)
	for _, line := range []string{`keyturn_token_cache_total{result="hit"}`, `keyturn_token_cache_total{result="miss"}`, "keyturn_token_cache_evicted_total 0", "keyturn_token_cache_entries 1"} {
		if !strings.Contains(answer, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// scrape reads the metrics.
func scrape(t *testing.T, w *world) string {
	t.Helper()
	answer := httptest.NewRecorder()
	w.Internal().Handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}
