package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// always says that an operation revokes, whatever it answers.
func always([]any) bool { return true }

// RevokeSession implements [store.Revoker].
func (s *Store) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	return s.numbered(s.run(ctx, scriptRevoke, always, "",
		request.SessionID, stamp(request.Now.Add(request.Retention.AccessTTL)), span(request.Retention.Slack), stamp(request.LatestExpiry)))
}

// maxNumber is the largest number that the scripts can compare.
const maxNumber = 1 << 53

// Append implements [store.Revoker].
func (s *Store) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	probe := entry
	if probe.Before == 0 && (entry.Kind == revocation.User || entry.Kind == revocation.All) {
		probe.Before = 1
	}
	if err := probe.CheckContent(); err != nil {
		return 0, err
	}
	if entry.Before >= maxNumber {
		return 0, fmt.Errorf("%w: the number %d is past all that a store gives", revocation.ErrMalformed, entry.Before)
	}
	if id != "" {
		id = shortHash(id)
	}
	return s.numbered(s.run(ctx, scriptAppend, always, "",
		id, string(entry.Kind), entry.Value, strconv.FormatUint(entry.Before, 10), stamp(entry.Expires), shortHash(entry.Value)))
}

func (s *Store) numbered(reply []any, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	if len(reply) != 1 {
		return 0, unavailable(errBadReply)
	}
	n, err := number(reply[0])
	if err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

// Revocations implements [store.Log].
func (s *Store) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	reply, err := s.run(ctx, scriptLog, nil, "", strconv.FormatUint(after, 10), limit+1)
	if err != nil {
		return nil, false, err
	}
	if len(reply) != 1 {
		return nil, false, unavailable(errBadReply)
	}
	list, ok := reply[0].([]any)
	if !ok {
		return nil, false, unavailable(errBadReply)
	}
	more := len(list) > limit
	if more {
		list = list[:limit]
	}
	entries := make([]revocation.Entry, 0, len(list))
	for _, v := range list {
		e, err := entryOf(v)
		if err != nil {
			return nil, false, unavailable(err)
		}
		entries = append(entries, e)
	}
	return entries, more, nil
}

// entryOf reads "kind number before expires value", as lua/family.lua writes it.
func entryOf(v any) (revocation.Entry, error) {
	text, _ := v.(string)
	part := strings.SplitN(text, " ", 5)
	if len(part) != 5 {
		return revocation.Entry{}, fmt.Errorf("%w: a damaged revocation", errBadReply)
	}
	seq, err1 := strconv.ParseUint(part[1], 10, 64)
	before, err2 := strconv.ParseUint(part[2], 10, 64)
	expires, err3 := timeOf(part[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return revocation.Entry{}, fmt.Errorf("%w: a damaged revocation", errBadReply)
	}
	return revocation.Entry{Seq: seq, Kind: revocation.Kind(part[0]), Value: part[4], Before: before, Expires: expires}, nil
}

// Last implements [store.Log].
func (s *Store) Last(ctx context.Context) (uint64, error) {
	if _, err := s.run(ctx, scriptLast, nil, ""); err != nil {
		return 0, err
	}
	return s.known.get().last, nil
}

// compactStep is how many records one script looks at: a server does nothing else meanwhile.
const compactStep = 200

// Compact implements [store.Keeper]. It looks only at what may be due, in small steps.
func (s *Store) Compact(ctx context.Context, now time.Time) (int, error) {
	removed := 0
	for {
		reply, err := s.run(ctx, scriptCompact, nil, "", stamp(now), compactStep)
		if err != nil {
			return removed, err
		}
		if len(reply) != 2 {
			return removed, unavailable(errBadReply)
		}
		n, err1 := number(reply[0])
		looked, err2 := number(reply[1])
		if err1 != nil || err2 != nil {
			return removed, unavailable(errBadReply)
		}
		removed += int(n) //nolint:gosec // at most compactStep
		if looked < compactStep {
			return removed, nil
		}
	}
}

// Clock implements [store.Clocked].
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	reply, err := s.run(ctx, scriptClock, nil, "")
	if err != nil {
		return time.Time{}, err
	}
	if len(reply) != 2 {
		return time.Time{}, unavailable(errBadReply)
	}
	seconds, err1 := number(reply[0])
	micros, err2 := number(reply[1])
	if err1 != nil || err2 != nil {
		return time.Time{}, unavailable(errBadReply)
	}
	return time.Unix(int64(seconds), int64(micros)*1000), nil //nolint:gosec // as a clock has them
}
