package extauthz

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keyturn/keyturn/internal/feed"
)

// bounded serves w's gRPC port with other bounds than the usual ones.
func bounded(t *testing.T, w *world, b rpcBounds) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	s := w.serverOf(b)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// frames is a connection to the gRPC port by hand.
type frames struct {
	*http2.Framer
	settings map[http2.SettingID]uint32
}

func dialFrames(t *testing.T, address string) *frames {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	check(t, err)
	f := &frames{Framer: http2.NewFramer(conn, conn), settings: map[http2.SettingID]uint32{}}
	check(t, f.WriteSettings())
	first, err := f.ReadFrame()
	check(t, err)
	check(t, first.(*http2.SettingsFrame).ForeachSetting(func(s http2.Setting) error {
		f.settings[s.ID] = s.Val
		return nil
	}))
	check(t, f.WriteSettingsAck())
	return f
}

// until reads frames to the one that is wanted.
func until[T http2.Frame](t *testing.T, f *frames) (wanted T) {
	t.Helper()
	for {
		frame, err := f.ReadFrame()
		check(t, err)
		if found, is := frame.(T); is {
			return found
		}
	}
}

func TestUsualBoundsOfGRPC(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	f := dialFrames(t, on.GRPC.Addr().String())
	for id, want := range map[http2.SettingID]uint32{
		http2.SettingMaxConcurrentStreams: 512, http2.SettingMaxHeaderListSize: 64 << 10, http2.SettingInitialWindowSize: 1 << 20,
	} {
		if got, told := f.settings[id]; got != want || !told {
			t.Errorf("%s is %d, want %d", id, got, want)
		}
	}
	if b := usualBounds; b.age != 30*time.Minute || b.ageGrace != time.Minute || b.idle != time.Minute || b.wait != 20*time.Second {
		t.Errorf("%+v", b)
	}
	for i := byte(0); i < 4; i++ { // three more than may come in ten seconds
		check(t, f.WritePing(false, [8]byte{i}))
	}
	if end := until[*http2.GoAwayFrame](t, f); end.ErrCode != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("a flood of pings: %v", end)
	}
}

// What is too large is refused before anything reads it, and the connection serves on.
func TestLargeMessagesAndHeadersByGRPC(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	ask := func(ctx context.Context, body int) error {
		r := e.request(get(bearer(mint(t, signingKeys()[0]))))
		r.Attributes.Request.Http.Body = strings.Repeat("x", body)
		answer, err := e.client.Check(ctx, r)
		if err == nil && answer.GetOkResponse() == nil {
			t.Errorf("a body of %d bytes: %v", body, answer)
		}
		return err
	}
	check(t, ask(t.Context(), maxMessageBytes-(64<<10)))
	if err := ask(t.Context(), maxMessageBytes); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message over the bound: %v", err)
	}
	if err := ask(metadata.AppendToOutgoingContext(t.Context(), "x-pad", strings.Repeat("x", maxHeaderBytes)), 0); err == nil {
		t.Error("headers over the bound are taken")
	}
	check(t, ask(t.Context(), 0))
}

// One connection has so many checks at work, and the next waits.
func TestConcurrentStreamsOfGRPC(t *testing.T) {
	w := newWorld(t)
	b := usualBounds
	b.streams = 2
	address := bounded(t, w, b)
	e := newEnvoy(t, address)
	connection := e.conn
	watch := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := grpc_health_v1.NewHealthClient(connection).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		check(t, err)
		_, err = stream.Recv()
		check(t, err)
		return cancel
	}
	first, second := watch(), watch()
	defer second()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := e.client.Check(ctx, &auth.CheckRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a third stream: %v", err)
	}
	first()
	if answer, err := e.client.Check(t.Context(), &auth.CheckRequest{}); err != nil || answer.GetDeniedResponse() == nil {
		t.Errorf("when there is room again: %v %v", answer, err)
	}
}

// An old connection is told to end, and one that says nothing is asked whether it lives, and ends.
func TestConnectionsOfGRPCEnd(t *testing.T) {
	w := newWorld(t)
	t.Run("old", func(t *testing.T) {
		t.Parallel()
		b := usualBounds
		b.age, b.ageGrace = 50*time.Millisecond, time.Minute
		address := bounded(t, w, b)
		if end := until[*http2.GoAwayFrame](t, dialFrames(t, address)); end.ErrCode != http2.ErrCodeNo {
			t.Errorf("%v", end)
		}
		e, raw := newEnvoy(t, address), mint(t, signingKeys()[0])
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); { // over several connections
			if got := e.send(t, get(bearer(raw))).status; got != 200 {
				t.Fatalf("a check on the way: %d", got)
			}
		}
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		b := usualBounds
		b.idle, b.wait = time.Second, 100*time.Millisecond // grpc-go takes no less than a second
		f := dialFrames(t, bounded(t, w, b))
		for until[*http2.PingFrame](t, f).IsAck() {
		}
		for {
			if _, err := f.ReadFrame(); err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Error("stays open")
				}
				return
			}
		}
	})
}

// A check that runs when the end begins is answered, if it is done within the grace; one that takes longer gets an error,
// which lets nobody through, and holds up nothing.
func TestDrainWithACheckAtWork(t *testing.T) {
	for name, row := range map[string]struct {
		grace    time.Duration
		answered bool
	}{"done in time": {20 * time.Second, true}, "takes longer": {100 * time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			w := newLegacyWorld(t)
			at, release := make(chan struct{}, 1), make(chan struct{})
			w.feed.answer(func(ctx context.Context, _ string) (feed.SessionAnswer, error) {
				at <- struct{}{}
				select {
				case <-release:
					return feed.SessionAnswer{Valid: true, User: "ann"}, nil
				case <-ctx.Done():
					return feed.SessionAnswer{}, ctx.Err()
				}
			})
			on, stop := w.serve(t, Drain{Grace: row.grace})
			e := newEnvoy(t, on.GRPC.Addr().String())
			type result struct {
				answer *auth.CheckResponse
				err    error
			}
			got := make(chan result, 1)
			go func() {
				answer, err := e.client.Check(t.Context(), e.request(get(header{"Cookie", "connect.sid=s1"})))
				got <- result{answer, err}
			}()
			<-at
			started, ended := time.Now(), make(chan error, 1)
			go func() { ended <- stop() }()
			if row.answered {
				eventually(t, "no new connections", func() bool {
					conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", on.GRPC.Addr().String())
					if err == nil {
						_ = conn.Close()
					}
					return err != nil
				})
				close(release)
			}
			r := <-got
			if row.answered && (r.err != nil || r.answer.GetOkResponse() == nil) || !row.answered && r.err == nil && r.answer.GetOkResponse() != nil {
				t.Errorf("%v %v", r.answer, r.err)
			}
			check(t, <-ended)
			if took := time.Since(started); !row.answered && took > 10*time.Second {
				t.Errorf("it ends after %s", took)
			}
			if !row.answered {
				close(release)
			}
		})
	}
}
