package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// failing is a log whose calls fail one by one.
type failing struct {
	memory
	lastFails, listFails bool
}

var errDown = errors.New("down")

func (f *failing) Last(ctx context.Context) (uint64, error) {
	if f.lastFails {
		return 0, errDown
	}
	return f.memory.Last(ctx)
}

func (f *failing) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	if f.listFails {
		return nil, false, errDown
	}
	return f.memory.Revocations(ctx, after, limit)
}

func TestStoreDownEndsTheStream(t *testing.T) {
	for _, source := range []*failing{{lastFails: true}, {listFails: true}} {
		leases := NewLeases(func() time.Duration { return time.Second }, time.Now)
		web := httptest.NewServer(NewServer(ServerConfig{Source: source, Leases: leases, Logger: quiet(), Now: time.Now}).Handler())
		// A stream that cannot be complete must not look as if it had come to its end.
		response, err := http.Get(web.URL + StreamPath)
		if err == nil {
			body := make([]byte, 100)
			n, readErr := response.Body.Read(body)
			_ = response.Body.Close()
			if n > 0 || readErr == nil {
				t.Errorf("the stream says %q", body[:n])
			}
		}
		if source.lastFails {
			response, err := http.Post(web.URL+LeasePath, "application/json", strings.NewReader(`{"edge":"a","applied":1}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a report without the store: %d", response.StatusCode)
			}
		}
		web.Close()
	}
}

func TestServerIsBounded(t *testing.T) {
	leases := NewLeases(func() time.Duration { return time.Hour }, time.Now)
	server := NewServer(ServerConfig{Source: &memory{}, Leases: leases, Logger: quiet(), Now: time.Now})
	for i := range maxEdges {
		if _, err := leases.Report(t.Context(), fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, LeasePath, strings.NewReader(`{"edge":"one-more","applied":1}`)))
	if recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("a report past the bound: %d", recorder.Code)
	}
	server.streams.Store(maxStreams)
	recorder = httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, StreamPath, nil))
	if recorder.Code != http.StatusServiceUnavailable || server.streams.Load() != maxStreams {
		t.Errorf("a stream past the bound: %d, %d streams", recorder.Code, server.streams.Load())
	}
}

func TestClientNeedsItsConfiguration(t *testing.T) {
	if _, err := NewClient(ClientConfig{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}

// Files that are missing are the error of one attempt and not the end of the client.
func TestClientWaitsForItsFiles(t *testing.T) {
	serverDir, clientDir := t.TempDir(), t.TempDir()
	late := t.TempDir()
	certify(t, serverDir, late)
	write(t, "0123456789abcdef-token", filepath.Join(serverDir, tokenFile), filepath.Join(late, tokenFile))
	r := newRig(t, serverDir)
	var attempts atomic.Int64
	address := r.address
	c, _ := r.client("a", clientDir, func() (Target, bool) {
		attempts.Add(1)
		return Target{FeedAddress: snapshot.FeedAddress{Address: address}, MaxPropagation: leaseLength}, true
	})
	until(t, "two attempts", func() bool { return attempts.Load() >= 2 })
	if s := c.Status(); s.Loaded || !s.Stale {
		t.Errorf("status %+v", s)
	}
	copyFile(t, late, clientDir, tokenFile)
	copyFile(t, late, clientDir, caFile)
	until(t, "loaded", func() bool { return c.Status().Loaded })
}

func TestSessionErrorsSayWhatToMend(t *testing.T) {
	dir := t.TempDir()
	client, err := NewClient(ClientConfig{Edge: "a", Dir: dir, Target: func() (Target, bool) { return Target{}, false }, Log: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Client: client}
	for _, step := range []struct {
		address, ca, want string
	}{
		{"nonsense", "", "host:port"},
		{"feed.example:8444", "", "ca.crt"},
		{"feed.example:8444", "not a certificate", "holds no certificate"},
	} {
		s.target.Address = step.address
		if step.ca != "" {
			write(t, step.ca, filepath.Join(dir, caFile))
		}
		if _, err := s.transport(); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%+v: %v", step, err)
		}
	}
}
