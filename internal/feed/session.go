package feed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// errMoved ends a session because the snapshot names another address.
var errMoved = errors.New("the feed's address changed")

// errClockSetBack ends a session because the list forgot entries that are alive by the clock of now.
var errClockSetBack = errors.New("the clock was set back: the complete list is needed again")

// session is one connection to the feed: a stream in, reports out.
type session struct {
	*Client
	target  Target
	http    *http.Client
	base    string
	applied chan struct{} // gets a value when there is something to report
	ready   atomic.Bool   // the complete list was loaded in this session
}

// session follows the feed until something ends it; synced tells whether the complete list was loaded.
func (c *Client) session(ctx context.Context, target Target) (synced bool, err error) {
	s := &session{Client: c, target: target, applied: make(chan struct{}, 1)}
	transport, err := s.transport()
	if err != nil {
		return false, err
	}
	defer transport.CloseIdleConnections()
	s.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	streamCtx, end := context.WithCancelCause(ctx)
	var reporter sync.WaitGroup
	defer func() {
		s.current.Store(nil)
		end(nil)
		reporter.Wait()
		if ctx.Err() != nil {
			s.leave(ctx)
		}
	}()
	request, err := s.request(streamCtx, http.MethodGet, StreamPath, nil)
	if err != nil {
		return false, err
	}
	silence := time.AfterFunc(silenceAfter, func() { end(errors.New("nothing was heard from the feed")) })
	defer silence.Stop()
	go s.watch(streamCtx, end)
	response, err := s.http.Do(request)
	if err != nil {
		return false, cause(streamCtx, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the feed answered %s", response.Status)
	}
	err = s.read(bufio.NewReaderSize(response.Body, maxLine), func() { silence.Reset(silenceAfter) }, func() {
		synced = true
		s.ready.Store(true)
		s.current.Store(s)
		reporter.Go(func() { s.reports(streamCtx) })
	})
	return synced, cause(streamCtx, err)
}

func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

func (s *session) transport() (*http.Transport, error) {
	protocols := new(http.Protocols)
	t := &http.Transport{
		Protocols: protocols, DisableCompression: true, TLSHandshakeTimeout: silenceAfter,
		// One connection for the stream and the reports, and no proxy of the environment.
		Proxy: nil, IdleConnTimeout: time.Minute,
	}
	if s.config.Dir == "" {
		s.base = "http://" + s.target.Address
		protocols.SetUnencryptedHTTP2(true)
		t.DialContext = dialLoopback
		return t, nil
	}
	s.base = "https://" + s.target.Address
	protocols.SetHTTP2(true)
	name := s.target.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(s.target.Address)
		if err != nil {
			return nil, fmt.Errorf("the feed's address must be host:port: %w", err)
		}
		name = host
	}
	config, err := clientTLS(s.config.Dir, name)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = config
	return t, nil
}

func (s *session) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if s.config.Dir != "" {
		token, err := readToken(s.config.Dir) // again each time: it may have changed
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+string(token.Reveal()))
	}
	return request, nil
}

// watch ends the session when the snapshot names another feed, and when the list must be loaded again.
func (s *session) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now, known := s.config.Target(); known && now.FeedAddress != s.target.FeedAddress {
				end(errMoved)
				return
			}
			// Not while it is loading: the list in force is the one from before then.
			if s.ready.Load() && !s.list.CompleteAt(s.config.Now()) {
				end(errClockSetBack)
				return
			}
		}
	}
}

// read applies the stream: the complete list at once, then line by line.
func (s *session) read(in *bufio.Reader, heard, synced func()) error {
	var complete []revocation.Entry
	loading := true
	for {
		m, err := readMessage(in)
		if err != nil {
			return err
		}
		heard()
		switch {
		case m.Entry != nil && loading:
			if len(complete) >= revocation.DefaultLimit {
				return revocation.ErrFull
			}
			complete = append(complete, *m.Entry)
		case m.Synced != nil && loading:
			s.changeStore(m.Store, *m.Synced)
			if err := s.list.Replace(complete, *m.Synced); err != nil {
				return err
			}
			loading, complete = false, nil
			synced()
		case m.Entry != nil:
			if m.Prev != s.list.Applied() {
				return fmt.Errorf("%w: number %d follows %d, this edge has %d", errGap, m.Entry.Seq, m.Prev, s.list.Applied())
			}
			if err := s.list.Apply(*m.Entry); err != nil {
				return err
			}
			s.tellReporter()
		case m.Beat != nil && !loading:
			if *m.Beat != s.list.Applied() {
				return fmt.Errorf("%w: the feed is at %d, this edge at %d", errGap, *m.Beat, s.list.Applied())
			}
		default:
			return errors.New("the feed sent a line that means nothing here")
		}
	}
}

// changeStore notes whose numbers the list has from now on. A store that was lost, or restored from a backup, is worth a
// line; what the edge knew of it stays in force, see [revocation.List.Replace].
func (s *session) changeStore(id string, number uint64) {
	if number < s.list.Applied() || s.store != "" && id != s.store {
		s.config.Log.Error("feed_store_changed", "had", s.list.Applied(), "now", number, "same_store", id == s.store)
	}
	s.store = id
}

func readMessage(in *bufio.Reader) (message, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return message{}, errors.New("the feed sent a line that is too long")
		}
		return message{}, fmt.Errorf("the stream ended: %w", err)
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, errors.New("the feed sent a line that is not JSON")
	}
	return m, nil
}
