package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

func (s *session) tellReporter() {
	select {
	case s.applied <- struct{}{}:
	default: // a report is due already
	}
}

// reports tells the server what is applied: now, after each entry, every second, and more often where leases are so short
// that one would run out before the next report is acknowledged.
func (s *session) reports(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	length := s.target.MaxPropagation
	for {
		if granted, err := s.report(ctx); err == nil {
			length = granted
		} else if ctx.Err() == nil {
			s.config.Log.Warn("feed_report_failed", "error", err.Error())
		}
		timer.Reset(reportAgain(length))
		select {
		case <-ctx.Done():
			return
		case <-s.applied:
		case <-timer.C:
		}
	}
}

// reportAgain is how long after a report the next one is due, for leases of a length; 0 is one that is not known.
func reportAgain(length time.Duration) time.Duration {
	if length <= 0 {
		return reportEvery
	}
	return min(max(length/3, reportFast), reportEvery)
}

// report renews the lease from the moment it was sent. An edge that holds no lease gets one only if it has applied
// everything there is: whatever was revoked while nobody waited for it must be in its list first.
// It returns how long leases last.
func (s *session) report(ctx context.Context) (time.Duration, error) {
	sent := s.config.Now()
	held, applied := s.loaded.Load() && s.leased(sent), s.list.Applied()
	ack, err := s.post(ctx, report{Edge: s.config.Edge, Applied: applied, Store: s.store})
	if err != nil {
		return 0, err
	}
	length := ack.Lease.Std()
	if now, known := s.config.Target(); known && now.MaxPropagation > 0 {
		length = min(length, now.MaxPropagation)
	}
	if !held && applied < ack.Last {
		return length, nil // the entries are on their way, and the next report with them
	}
	until := sent.Add(length)
	s.lease.Store(&until)
	s.loaded.Store(true)
	return length, nil
}

func (s *session) post(ctx context.Context, r report) (acknowledgement, error) {
	ctx, cancel := context.WithTimeout(ctx, silenceAfter)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return acknowledgement{}, err
	}
	request, err := s.request(ctx, http.MethodPost, LeasePath, body)
	if err != nil {
		return acknowledgement{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return acknowledgement{}, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if r.Leaving && response.StatusCode == http.StatusNoContent {
		return acknowledgement{}, nil
	}
	if response.StatusCode != http.StatusOK {
		return acknowledgement{}, fmt.Errorf("the feed answered a report with %s", response.Status)
	}
	var ack acknowledgement
	if err := json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&ack); err != nil {
		return acknowledgement{}, errors.New("the feed's acknowledgement is not JSON")
	}
	return ack, nil
}

// leave gives the lease back when this edge ends, so that no logout waits for it.
func (s *session) leave(ctx context.Context) {
	ended := time.Unix(0, 0)
	s.lease.Store(&ended)
	s.loaded.Store(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = s.post(ctx, report{Edge: s.config.Edge, Leaving: true}) // the lease runs out by itself otherwise
}
