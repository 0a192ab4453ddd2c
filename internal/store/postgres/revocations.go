package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// ending is an entry with what must be written beside it.
type ending struct {
	entry revocation.Entry // without a number
	known [][]byte         // what has this number from now on
	keys  [][]byte         // the families that end
	texts [][]byte         // and their documents
}

// entrySQL appends an entry: $1 kind, $2 value, $3 before, $4 expires, $5 known, $6 keys, $7 texts. The lock on meta lasts
// until the COMMIT behind it, so that numbers become visible in their order.
const entrySQL = `
WITH n AS (
	UPDATE meta SET last = last + 1, last_revocation = last + 1,
		all_before = CASE WHEN $1::text = 'all' THEN greatest(all_before, CASE WHEN $3::bigint = 0 THEN last + 1 ELSE $3::bigint END) ELSE all_before END
	RETURNING last),
e AS (
	INSERT INTO entries (seq, kind, value, before, expires)
	SELECT last, $1::text, $2::bytea, CASE WHEN $3::bigint = 0 AND $1::text IN ('user', 'all') THEN last ELSE $3::bigint END, $4::bigint FROM n),
k AS (
	INSERT INTO known (key, seq, expires) SELECT key, last, $4::bigint FROM n, unnest($5::bytea[]) AS key
	ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, expires = excluded.expires),
f AS (
	UPDATE families SET revoked = n.last, forget_after = $4::bigint, family = u.text
	FROM n, unnest($6::bytea[], $7::bytea[]) AS u (key, text) WHERE families.key = u.key AND families.revoked = 0)
SELECT last FROM n`

// queueEntry appends an entry and notes its number.
func (c *call) queueEntry(b *pgx.Batch, e ending) {
	b.Queue(entrySQL, string(e.entry.Kind), []byte(e.entry.Value), signed(e.entry.Before), nanoseconds(e.entry.Expires), e.known, e.keys, e.texts).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&c.entry)
			c.wrote = c.entry
			return err
		})
}

func sessionKey(sid string) []byte { return hash("session", sid) }

// ending is the entry that ends a family.
func (f *stored) ending(expires time.Time) (ending, error) {
	text, err := f.endedText()
	return ending{
		entry: revocation.Entry{Kind: revocation.Session, Value: f.SessionID, Expires: expires},
		known: [][]byte{sessionKey(f.SessionID)}, keys: [][]byte{f.key}, texts: [][]byte{text},
	}, err
}

// endedText is the document of a family that ends: the successor has no use any more.
func (f *stored) endedText() ([]byte, error) {
	over := f.Family
	over.Successor = nil
	return document(over)
}

// revoke commits the end of a family that was read under its lock.
func (s *Store) revoke(ctx context.Context, c *call, f *stored, expires time.Time) error {
	end, err := f.ending(expires)
	if err != nil {
		return err
	}
	err = s.commitEntry(ctx, c, end)
	f.RevokedSeq, f.ForgetAfter, f.Successor = c.entry, expires, nil
	return err
}

func (s *Store) commitEntry(ctx context.Context, c *call, e ending) error {
	return c.commit(ctx, func(b *pgx.Batch) {
		c.queueEntry(b, e)
		s.queueNotify(b)
	})
}

// queueKnown looks up the number of what was revoked once.
func queueKnown(b *pgx.Batch, key []byte, seq *uint64) {
	*seq = 0
	b.Queue("SELECT coalesce((SELECT seq FROM known WHERE key = $1), 0)", key).QueryRow(func(row pgx.Row) error { return row.Scan(seq) })
}

// RevokeSession implements [store.Revoker].
func (s *Store) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	var seq uint64
	err := s.do(ctx, true, func(ctx context.Context, c *call) error {
		var f stored
		err := c.begin(ctx, func(b *pgx.Batch) {
			b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("session", request.SessionID))
			f.queueOne(b, "sid = $1 FOR UPDATE", []byte(request.SessionID))
			queueKnown(b, sessionKey(request.SessionID), &seq) // after the family: who ended it wrote both
		})
		switch {
		case err != nil:
			return err
		case seq != 0:
			return c.known(ctx)
		case f.found && f.RevokedSeq != 0:
			seq = f.RevokedSeq
			return c.known(ctx)
		}
		latest := request.LatestExpiry
		if f.found && f.AccessExpiry.After(latest) {
			latest = f.AccessExpiry
		}
		expires := request.Retention.From(request.Now, latest)
		if f.found {
			err = s.revoke(ctx, c, &f, expires)
		} else {
			err = s.commitEntry(ctx, c, ending{
				entry: revocation.Entry{Kind: revocation.Session, Value: request.SessionID, Expires: expires},
				known: [][]byte{sessionKey(request.SessionID)},
			})
		}
		seq = c.entry
		return err
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// Append implements [store.Revoker].
func (s *Store) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	probe := entry
	if probe.Before == 0 && (entry.Kind == revocation.User || entry.Kind == revocation.All) {
		probe.Before = 1
	}
	if err := probe.CheckContent(); err != nil {
		return 0, err
	}
	var seq uint64
	err := s.do(ctx, true, func(ctx context.Context, c *call) error {
		end := ending{entry: entry}
		families, err := s.familiesHit(ctx, c, id, entry)
		if err != nil {
			return err
		}
		if id != "" {
			end.known = append(end.known, hash("id", id))
			if seq, err = c.number(ctx, hash("id", id)); err != nil {
				return err
			}
			if seq != 0 {
				return c.known(ctx)
			}
		}
		for _, f := range families {
			text, err := f.endedText()
			if err != nil {
				return err
			}
			end.keys, end.texts = append(end.keys, f.key), append(end.texts, text)
		}
		if entry.Kind == revocation.Session {
			end.known = append(end.known, sessionKey(entry.Value))
		}
		err = s.commitEntry(ctx, c, end)
		seq = c.entry
		return err
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// number looks up what was revoked once, in the transaction.
func (c *call) number(ctx context.Context, key []byte) (seq uint64, err error) {
	err = c.conn.QueryRow(ctx, "SELECT coalesce((SELECT seq FROM known WHERE key = $1), 0)", key).Scan(&seq)
	return seq, err
}

// familiesHit begins the transaction with locks on the caller's id and on the families that the entry ends.
func (s *Store) familiesHit(ctx context.Context, c *call, id string, entry revocation.Entry) ([]stored, error) {
	if entry.Kind == revocation.User {
		all, err := s.familiesOf(ctx, c, entry.Value, id, nil)
		var hit []stored
		for _, f := range all {
			if entry.Before == 0 || f.Number < entry.Before {
				hit = append(hit, f)
			}
		}
		return hit, err
	}
	var f stored
	err := c.begin(ctx, func(b *pgx.Batch) {
		if id != "" {
			b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("id", id))
		}
		if entry.Kind == revocation.Session {
			b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("session", entry.Value))
			f.queueOne(b, "sid = $1 FOR UPDATE", []byte(entry.Value))
		}
	})
	if err != nil || !f.found || f.RevokedSeq != 0 {
		return nil, err
	}
	return []stored{f}, nil
}

// Revocations implements [store.Log].
func (s *Store) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	var entries []revocation.Entry
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		entries = nil
		return c.read(ctx, func(b *pgx.Batch) {
			b.Queue("SELECT seq, kind, value, before, expires FROM entries WHERE seq > $1 ORDER BY seq LIMIT $2", signed(after), int64(limit)+1).
				Query(func(rows pgx.Rows) error {
					var e revocation.Entry
					var kind string
					var value []byte
					var expires int64
					_, err := pgx.ForEachRow(rows, []any{&e.Seq, &kind, &value, &e.Before, &expires}, func() error {
						e.Kind, e.Value, e.Expires = revocation.Kind(kind), string(value), timeOf(expires)
						entries = append(entries, e)
						return nil
					})
					return err
				})
		})
	})
	if err != nil {
		return nil, false, err
	}
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}

// Last implements [store.Log].
func (s *Store) Last(ctx context.Context) (uint64, error) {
	var last uint64
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		err := c.read(ctx, func(*pgx.Batch) {})
		last = c.state.lastRevocation
		return err
	})
	return last, err
}
