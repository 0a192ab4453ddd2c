package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// createSQL takes the next number for a session. The lock on meta lasts until the COMMIT behind it. Where there is a
// family with the key, it must be the one that was seen, and over; otherwise no row comes back.
const createSQL = `
WITH n AS (UPDATE meta SET last = last + 1 RETURNING last)
INSERT INTO families (key, sid, owner, number, family, ends)
SELECT $1, convert_to(base36(last) || $2::text, 'UTF8'), $3, last, $4, $5 FROM n
ON CONFLICT (key) DO UPDATE SET sid = EXCLUDED.sid, owner = EXCLUDED.owner, number = EXCLUDED.number,
  family = EXCLUDED.family, ends = EXCLUDED.ends, revoked = 0, forget_after = 0 WHERE families.sid = $6
RETURNING number, sid`

// Create implements [store.Families].
func (s *Store) Create(ctx context.Context, request store.NewFamily) (store.Created, error) {
	token := request.First()
	key := token.Family()
	fresh := store.Family{
		Owner: request.Owner, Created: request.Now, LastUsed: request.Now,
		AccessExpiry: request.AccessExpiry, Current: token.Hash(),
	}
	fresh.IdleExpiry, fresh.AbsoluteExpiry = request.Expiries()
	text, err := document(fresh)
	if err != nil {
		return store.Created{}, unavailable(err)
	}
	_, tail, _ := strings.Cut(revocation.SessionID(0), ".") // the random part: the server puts the number in front
	owner := hash("owner", request.Owner.Subject)
	var created store.Created
	var exists bool
	err = s.do(ctx, true, func(ctx context.Context, c *call) error {
		family := fresh
		var before stored // what has the key
		old, err := s.familiesOf(ctx, c, request.Owner.Subject, "", func(b *pgx.Batch) {
			if !request.Token.Zero() {
				before.queueOne(b, "key = $1 FOR UPDATE", key[:])
			}
		})
		if exists = before.found && !before.Over(request.Now, c.state.allBefore); err != nil || exists {
			return err
		}
		excess := evicted(old, request, c.state.allBefore)
		ending := make([]ending, 0, len(excess))
		for _, f := range excess {
			end, err := f.ending(request.Limits.Retention.From(request.Now, f.AccessExpiry))
			if err != nil {
				return err
			}
			ending = append(ending, end)
		}
		err = c.commit(ctx, func(b *pgx.Batch) {
			for _, end := range ending {
				c.queueEntry(b, end)
			}
			if len(ending) > 0 {
				s.queueNotify(b)
			}
			b.Queue(createSQL, key[:], "."+tail, owner, text, ends(family), []byte(before.SessionID)).QueryRow(func(row pgx.Row) error {
				var sid []byte
				err := row.Scan(&family.Number, &sid)
				if exists = errors.Is(err, pgx.ErrNoRows); exists {
					return nil // made since, by a login of another user
				}
				family.SessionID, c.wrote = string(sid), family.Number
				return err
			})
		})
		created = store.Created{Family: family, Token: token, Evicted: len(ending)}
		return err
	})
	switch {
	case err != nil:
		return store.Created{}, err
	case exists:
		return store.Created{}, store.ErrExists
	}
	return created, nil
}

// familiesOf begins the transaction with a lock on a user and on the user's families that no entry of their own ended.
// While the user is locked, no family is made. id, unless empty, is locked first, and looked up: see [Store.Append]. then, unless nil,
// adds queries.
func (s *Store) familiesOf(ctx context.Context, c *call, subject string, id string, then func(b *pgx.Batch)) ([]stored, error) {
	var all []stored
	err := c.begin(ctx, func(b *pgx.Batch) {
		if id != "" {
			b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("id", id))
		}
		b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("owner", subject))
		b.Queue("SELECT "+familyColumns+" FROM families WHERE owner = $1 AND revoked = 0 ORDER BY key FOR UPDATE", hash("owner", subject)).
			Query(func(rows pgx.Rows) error {
				defer rows.Close()
				for rows.Next() {
					var f stored
					if err := f.scan(rows); err != nil {
						return err
					}
					if f.Subject == subject {
						all = append(all, f)
					}
				}
				rows.Close()
				return rows.Err()
			})
		if then != nil {
			then(b)
		}
	})
	return all, err
}

// evicted are the user's least recently used families that must go until one more fits.
func evicted(all []stored, request store.NewFamily, allBefore uint64) []stored {
	if request.Limits.MaxFamilies <= 0 {
		return nil
	}
	alive := slices.DeleteFunc(all, func(f stored) bool {
		return f.Number < allBefore || !request.Now.Before(f.Expiry()) || !f.TakesPlace()
	})
	excess := len(alive) - request.Limits.MaxFamilies + 1
	if excess <= 0 {
		return nil
	}
	slices.SortFunc(alive, func(a, b stored) int { return a.LastUsed.Compare(b.LastUsed) })
	return alive[:excess]
}

// Inspect implements [store.Families].
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error) {
	var result store.Inspection
	key := token.Family()
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		result = store.Inspection{}
		var f stored
		err := c.read(ctx, func(b *pgx.Batch) { f.queueOne(b, "key = $1", key[:]) })
		if err == nil && f.found {
			result = store.Inspection{Outcome: f.Judge(token.Hash(), now, window, c.state.allBefore), Family: f.Family}
		}
		return err
	})
	return result, err
}

// optimism is how often a rotation is tried without a lock. Each time that it fails somebody else has got on.
const optimism = 4

// Rotate implements [store.Families]. It reads the family, decides, and writes if the family is still what was read: no
// lock waits for a client. Where that goes wrong again and again, or a reuse revokes, it locks the family first.
func (s *Store) Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error) {
	r := rotation{RotateRequest: request, successor: request.Token.Next()}
	r.sealed = request.Token.Seal(r.successor)
	err := s.do(ctx, true, func(ctx context.Context, c *call) error {
		for range optimism {
			if done, err := r.optimistic(ctx, c); done || err != nil {
				return err
			}
			if r.result.Outcome == store.Reused {
				break
			}
		}
		return r.locked(ctx, c, s)
	})
	if err != nil {
		return store.RotateResult{}, err
	}
	return r.result, nil
}

// rotation is one token presented.
type rotation struct {
	store.RotateRequest
	successor store.Token
	sealed    []byte
	result    store.RotateResult
}

// judge decides and changes the family that was read; changed tells whether there is something to write.
func (r *rotation) judge(f *stored, allBefore uint64) (changed bool, err error) {
	r.result = store.RotateResult{}
	if !f.found {
		return false, nil
	}
	r.result.Outcome = f.Judge(r.Token.Hash(), r.Now, r.Limits.RetryWindow, allBefore)
	switch r.result.Outcome {
	case store.Rotated:
		f.Previous, f.Current, f.Successor = f.Current, r.successor.Hash(), r.sealed
		f.Generation++
		f.LastUsed, f.IdleExpiry = r.Now, r.Now.Add(r.Limits.Idle)
		r.result.Successor, changed = r.successor, true
	case store.Retried:
		r.result.Successor, err = r.Token.Unseal(f.Successor)
	default: // a reuse is written by the caller
		r.result.Family = f.Family
		return false, nil
	}
	if end := r.RotateRequest.AbsoluteExpiry(f.Family); end.After(f.AbsoluteExpiry) {
		f.AbsoluteExpiry, changed = end, true
	}
	if r.AccessExpiry.After(f.AccessExpiry) {
		f.AccessExpiry, changed = r.AccessExpiry, true
	}
	r.result.Family = f.Family
	return changed, err
}

// optimistic tells whether the rotation is done.
func (r *rotation) optimistic(ctx context.Context, c *call) (done bool, err error) {
	var f stored
	key := r.Token.Family()
	if err := c.read(ctx, func(b *pgx.Batch) { f.queueOne(b, "key = $1", key[:]) }); err != nil {
		return false, err
	}
	changed, err := r.judge(&f, c.state.allBefore)
	switch {
	case err != nil:
		return false, err
	case r.result.Outcome == store.Reused:
		return false, nil
	case r.result.Outcome == store.Retried && !changed:
		return true, c.known(ctx)
	case !changed:
		return true, nil
	}
	text, err := document(f.Family)
	if err != nil {
		return false, err
	}
	err = c.write(ctx, func(b *pgx.Batch) {
		b.Queue("UPDATE families SET family = $2, ends = $3 WHERE key = $1 AND family = $4 AND revoked = 0", f.key, text, ends(f.Family), f.text).
			Exec(func(t pgconn.CommandTag) error { done = t.RowsAffected() == 1; return nil })
	})
	if err == nil && !done {
		c.committing = false // nothing was
	}
	return done, err
}

// locked does the same under the family's lock.
func (r *rotation) locked(ctx context.Context, c *call, s *Store) error {
	var f stored
	key := r.Token.Family()
	if err := c.begin(ctx, func(b *pgx.Batch) { f.queueOne(b, "key = $1 FOR UPDATE", key[:]) }); err != nil {
		return err
	}
	changed, err := r.judge(&f, c.state.allBefore)
	switch {
	case err != nil:
		return err
	case r.result.Outcome == store.Reused:
		err = s.revoke(ctx, c, &f, r.Limits.Retention.From(r.Now, f.AccessExpiry))
		r.result.Family = f.Family
		return err
	case r.result.Outcome == store.Retried && !changed:
		return c.known(ctx)
	case !changed:
		return nil
	}
	text, err := document(f.Family)
	if err != nil {
		return err
	}
	return c.commit(ctx, func(b *pgx.Batch) {
		b.Queue("UPDATE families SET family = $2, ends = $3 WHERE key = $1", f.key, text, ends(f.Family))
	})
}
