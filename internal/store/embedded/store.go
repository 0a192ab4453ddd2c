package embedded

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/store"
)

// FileName is the store's file in the data directory.
const FileName = "sessions.db"

// format is the layout of the file; another one is refused.
const format = "keyturn sessions 1"

var (
	bucketMeta        = []byte("meta")
	bucketFamilies    = []byte("families")
	bucketSessions    = []byte("sessions")
	bucketUsers       = []byte("users")
	bucketRevocations = []byte("revocations")
	bucketRevoked     = []byte("revoked")
	bucketIDs         = []byte("ids")
	bucketPlaces      = []byte("places")

	keyFormat         = []byte("format")
	keyLastRevocation = []byte("lastRevocation")
	keyAllBefore      = []byte("allBefore")
	keyLongestLease   = []byte("longestLease")
	keyID             = []byte("id")
)

// lockTimeout is how long Open waits for the predecessor to let go of the file.
const lockTimeout = 5 * time.Second

// checkBelow is the size of file up to which Open reads every page before it trusts the file.
const checkBelow = 256 << 20

// Store is a [store.Store] in one file. It is safe for concurrent use; make it with [Open].
type Store struct {
	db     *bbolt.DB
	id     string
	writes chan *write
	closed chan struct{} // closed by Close: no new writes
	done   chan struct{} // closed when the writer has ended
	once   sync.Once

	watchers store.Watchers
	limits   *limits
}

var _ store.Store = (*Store)(nil)

// Open opens or makes the file in dir. A file in use, a damaged one and one of another format are errors that say so.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, FileName)
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		db: db, writes: make(chan *write, maxBatch), closed: make(chan struct{}), done: make(chan struct{}),
		limits: newLimits(maxCounters),
	}
	if err := db.View(func(tx *bbolt.Tx) error { s.id = string(tx.Bucket(bucketMeta).Get(keyID)); return nil }); err != nil {
		_ = db.Close()
		return nil, err
	}
	go s.writeLoop()
	return s, nil
}

func openFile(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file cut short faults when its lost pages are read
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("the store file %s is damaged: restore it from a backup, or move it away to start without sessions (every user logs in again)", path)
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("the store file %s is in use by another process: the embedded store allows one token service", path)
	case err != nil:
		return nil, fmt.Errorf("the store file %s cannot be opened: %w: if it is damaged, restore it from a backup, or move it away to start without sessions", path, err)
	}
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("the store file %s: %w", path, err)
	}
	return db, nil
}

// prepare checks the file and makes the buckets.
func prepare(db *bbolt.DB) error {
	err := db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > checkBelow {
			return nil
		}
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("is damaged: it has %d bytes of %d: restore it from a backup, or move it away to start without sessions", info.Size(), tx.Size())
		}
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("is damaged: %w: restore it from a backup, or move it away to start without sessions", err)
			}
		}
		return first
	})
	if err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if found := meta.Get(keyFormat); found != nil && string(found) != format {
			return fmt.Errorf("has format %.40q, this build reads %q: use the version that wrote it", found, format)
		}
		for _, name := range [][]byte{bucketFamilies, bucketSessions, bucketUsers, bucketRevocations, bucketRevoked, bucketIDs, bucketPlaces} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if meta.Get(keyFormat) == nil {
			if err := begin(tx, time.Now()); err != nil {
				return err
			}
		}
		if meta.Get(keyID) == nil {
			if err := meta.Put(keyID, []byte(rand.Text())); err != nil {
				return err
			}
		}
		return meta.Put(keyFormat, []byte(format))
	})
}

// ID implements [store.Keeper]: it stays with the file.
func (s *Store) ID() string { return s.id }

// Close waits for the operations under way and closes the file. Later operations fail with [store.ErrUnavailable].
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		<-s.done
		err = s.db.Close()
	})
	return err
}

// view reads. A panic in the database, which is how it meets damage, becomes an error.
func (s *Store) view(ctx context.Context, read func(tx *bbolt.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := s.db.View(read); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }

func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = unavailable(errors.New("the store file is damaged"))
	}
}

func number(raw []byte) uint64 {
	if len(raw) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
