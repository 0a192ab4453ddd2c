package extauthz

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/keyturn/keyturn/internal/checkwire"
	"github.com/keyturn/keyturn/internal/policy"
)

// aliases are the spellings of the identity headers that are always removed, for proxies that do not show the
// authorizer every header of the request.
var aliases = aliasesOf(policy.IdentityHeaders[:])

func aliasesOf(names []string) []string {
	var all []string
	for _, name := range names {
		lower := strings.ToLower(name)
		all = append(all, strings.ReplaceAll(lower, "-", "_"), strings.ReplaceAll(lower, "-", "."))
	}
	return all
}

var aliasesRemoved = checkwire.Removed(aliases...)

// reply is an encoded CheckResponse.
type reply *[]byte

// replyRoom is enough for most answers. grpc-go gives back nothing that has less than 1 KiB.
const replyRoom = 1280

// replyMemory has the memory of replies that grpc-go has sent: a flood of denials must not keep the collector busy.
type replyMemory struct{ free sync.Pool }

var replies replyMemory

// Get returns an empty reply, whatever its size will be.
func (m *replyMemory) Get(int) *[]byte {
	if used, ok := m.free.Get().(*[]byte); ok {
		return used
	}
	fresh := make([]byte, 0, replyRoom)
	return &fresh
}

// Put takes the memory of a reply back.
func (m *replyMemory) Put(used *[]byte) {
	if cap(*used) <= maxKept {
		*used = (*used)[:0]
		m.free.Put(used)
	}
}

// denialFields is room for the headers of most denials.
const denialFields = 8

// allowed makes the answer that lets a request through. Envoy sets headers in order and removes last, so a header that
// is set is never in the list of the removed; one that has no value is removed, because an empty one cannot be set.
func allowed(out outcome, seen []string) reply {
	var setRoom [8]checkwire.Header
	var removeRoom [16]string
	set, remove := setRoom[:0], removeRoom[:0]
	for _, f := range out.identity() {
		name := lowerName(f.name)
		if f.value == "" {
			remove = append(remove, name)
			continue
		}
		set = append(set, checkwire.Header{Name: name, Value: f.value})
	}
	for _, names := range [...][]string{seen, out.remove} {
		for _, name := range names {
			isSet := slices.ContainsFunc(set, func(h checkwire.Header) bool { return h.Name == name })
			if !isSet && !slices.Contains(remove, name) && !slices.Contains(aliases, name) {
				remove = append(remove, name)
			}
		}
	}
	var partRoom [4]checkwire.Part
	parts := append(partRoom[:0], aliasesRemoved)
	for _, line := range out.announcement {
		// The application may have links of its own, which stay; of the others there is one.
		parts = append(parts, checkwire.Answered(checkwire.Header{Name: strings.ToLower(line.Name), Value: line.Value}, line.Name == "Link"))
	}
	answer := replies.Get(0)
	*answer = checkwire.AppendAllowed(*answer, set, remove, parts...)
	return answer
}

// lowerName is strings.ToLower, and makes nothing new of the names that every answer has.
func lowerName(name string) string {
	if lower, known := lowerNames[name]; known {
		return lower
	}
	return strings.ToLower(name)
}

var lowerNames = func() map[string]string {
	all := map[string]string{}
	for _, name := range append(policy.IdentityHeaders[:], "Cache-Control", HeaderDecision, HeaderCode, "WWW-Authenticate", "Location", "Retry-After") {
		all[name] = strings.ToLower(name)
	}
	return all
}()

// denied makes the answer that stops a request. For a gRPC request Envoy makes trailers of it, into which a content
// type and a body do not fit.
func denied(out outcome, grpcRequest bool) reply {
	status := out.HTTPStatus()
	d := checkwire.Denial{Code: uint32(rpcCode(status)), Message: string(out.Code), HTTPStatus: uint32(status)} //nolint:gosec // three digits
	var fieldRoom [denialFields]field
	var headerRoom [denialFields + 1]checkwire.Header
	d.Headers = headerRoom[:0]
	for _, f := range appendDenialHeaders(fieldRoom[:0], out) {
		d.Headers = append(d.Headers, checkwire.Header{Name: lowerName(f.name), Value: f.value})
	}
	if !grpcRequest {
		d.Headers = append(d.Headers, checkwire.Header{Name: "content-type", Value: problemType})
		var room [problemRoom]byte
		body := appendProblem(room[:0], out)
		d.Body = unsafe.String(unsafe.SliceData(body), len(body)) // is copied into the answer, and nobody else has it
	}
	answer := replies.Get(0)
	*answer = checkwire.AppendDenied(*answer, d)
	return answer
}

// rpcCode is never OK: that would allow whatever else the answer says.
func rpcCode(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	default:
		return codes.PermissionDenied
	}
}

// healthInterval is how often a watcher of the health service is looked after.
const healthInterval = time.Second

// health is the standard gRPC health service: serving if and only if the replica is ready.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	a *Authorizer
}

func (h health) answer() *grpc_health_v1.HealthCheckResponse {
	if h.a.Ready() != nil {
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
}

func (h health) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return h.answer(), nil
}

func (h health) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	last := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		if next := h.answer(); next.GetStatus() != last {
			last = next.GetStatus()
			if err := stream.Send(next); err != nil {
				return err
			}
		}
		if h.a.draining.Load() {
			return status.Error(codes.Unavailable, "draining") // a watcher must not hold up the end
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-tick.C:
		}
	}
}
