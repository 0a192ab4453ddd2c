package embedded

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
)

// distrust is how long what was before a new file is distrusted: longer than any access token lives.
const distrust = 25 * time.Hour

// begin makes a file the successor of one that may be lost. Its numbers begin where no store before can have come to,
// so that no session's number is used again, and its first entry revokes all sessions from before: which of them were
// logged out is not known any more.
func begin(tx *bbolt.Tx, now time.Time) error {
	if now.Unix() < 0 {
		return fmt.Errorf("the clock says %s: set it before a store is made", now.Format(time.RFC3339))
	}
	start := uint64(now.Unix()) << 20 //nolint:gosec // not negative
	if err := tx.Bucket(bucketRevocations).SetSequence(start); err != nil {
		return err
	}
	if err := tx.Bucket(bucketMeta).Put(keyAllBefore, numberKey(start)); err != nil {
		return err
	}
	_, err := appendEntry(tx, revocation.Entry{Kind: revocation.All, Before: start, Expires: now.Add(distrust)})
	return err
}
