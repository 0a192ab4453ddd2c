package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/store"
)

// familyColumns are what [stored.scan] reads.
const familyColumns = "key, sid, number, family, revoked, forget_after"

// stored is a family with its key; found tells whether there is one.
type stored struct {
	store.Family
	key   []byte
	text  []byte // the document
	found bool
}

// scan reads a row of familyColumns.
func (f *stored) scan(row pgx.Row) error {
	var sid []byte
	var number, revoked uint64
	var forget int64
	if err := row.Scan(&f.key, &sid, &number, &f.text, &revoked, &forget); err != nil {
		return err
	}
	f.Family = store.Family{}
	if err := json.Unmarshal(f.text, &f.Family); err != nil {
		return fmt.Errorf("a stored family is damaged: %w", err)
	}
	f.found = true
	f.SessionID, f.Number, f.RevokedSeq = string(sid), number, revoked
	if revoked != 0 {
		f.ForgetAfter = timeOf(forget)
	}
	return nil
}

// queueOne reads at most one family.
func (f *stored) queueOne(b *pgx.Batch, where string, args ...any) {
	*f = stored{}
	b.Queue("SELECT "+familyColumns+" FROM families WHERE "+where, args...).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		if rows.Next() {
			if err := f.scan(rows); err != nil {
				return err
			}
		}
		rows.Close()
		return rows.Err()
	})
}

// document is what the column family holds.
func document(f store.Family) ([]byte, error) {
	f.SessionID, f.Number, f.RevokedSeq, f.ForgetAfter = "", 0, 0, time.Time{} // they have columns
	return json.Marshal(f)
}

// ends is when a family that is not revoked may be forgotten: a logout must still find how long to distrust.
func ends(f store.Family) int64 {
	end := f.Expiry()
	if f.AccessExpiry.After(end) {
		end = f.AccessExpiry
	}
	return nanoseconds(end)
}
