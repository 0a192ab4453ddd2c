package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func openHere(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func family(t *testing.T, s *Store, user string) store.Created {
	t.Helper()
	created, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: user}, Now: storetest.Start, Limits: store.Limits{Idle: time.Hour, Absolute: time.Hour, MaxFamilies: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// One operation that fails must not take those with it that happen to share its commit.
func TestAFailureInABatchIsAlone(t *testing.T) {
	s := openHere(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // keeps the writer busy until the others are queued
		_ = s.update(context.Background(), func(*bbolt.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	boom := errors.New("boom")
	var failed, worked atomic.Int32
	for i := range 20 {
		all.Go(func() {
			err := s.update(context.Background(), func(tx *bbolt.Tx) error {
				switch i {
				case 7:
					return boom
				case 13:
					panic("damaged page")
				}
				return tx.Bucket(bucketMeta).Put(fmt.Append(nil, "test", i), []byte("x"))
			})
			switch {
			case err == nil:
				worked.Add(1)
			case errors.Is(err, store.ErrUnavailable):
				failed.Add(1)
			default:
				t.Errorf("error %v", err)
			}
		})
	}
	for len(s.writes) < 20 {
		runtime.Gosched()
	}
	close(hold)
	all.Wait()
	if worked.Load() != 18 || failed.Load() != 2 {
		t.Errorf("%d worked and %d failed, want 18 and 2", worked.Load(), failed.Load())
	}
	_ = s.db.View(func(tx *bbolt.Tx) error {
		for i := range 20 {
			if stored := tx.Bucket(bucketMeta).Get(fmt.Append(nil, "test", i)) != nil; stored != (i != 7 && i != 13) {
				t.Errorf("operation %d stored: %t", i, stored)
			}
		}
		return nil
	})
}

// What is answered while the store closes must be true afterwards.
func TestCloseUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var stored []store.Token
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for {
				created, err := s.Create(context.Background(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint(i)}, Now: storetest.Start, Limits: store.Limits{Idle: time.Hour, Absolute: time.Hour}})
				if err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("error %v", err)
					}
					return
				}
				mu.Lock()
				stored = append(stored, created.Token)
				mu.Unlock()
			}
		})
	}
	for enough := false; !enough; {
		mu.Lock()
		enough = len(stored) > 100
		mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // a test
	for _, token := range stored {
		if seen, err := again.Inspect(t.Context(), token, storetest.Start, 0); err != nil || seen.Outcome != store.Rotated {
			t.Fatalf("an acknowledged family is %q, %v", seen.Outcome, err)
		}
	}
}

func TestDamagedRecords(t *testing.T) {
	s := openHere(t)
	created, revoked := family(t, s, "alice"), family(t, s, "bob")
	key := created.Token.Family()
	seq, err := s.RevokeSession(t.Context(), store.Revoke{SessionID: revoked.Family.SessionID, Now: storetest.Start})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(bucketFamilies).Put(key[:], []byte("{")), tx.Bucket(bucketRevocations).Put(numberKey(seq), []byte("[]")),
			tx.Bucket(bucketPlaces).Put([]byte(shortHash("alice")), []byte(`{"x":1}`)))
	}); err != nil {
		t.Fatal(err)
	}
	_, err1 := s.Inspect(t.Context(), created.Token, storetest.Start, 0)
	_, err2 := s.Rotate(t.Context(), store.RotateRequest{Token: created.Token, Now: storetest.Start})
	_, err3 := s.RevokeSession(t.Context(), store.Revoke{SessionID: created.Family.SessionID, Now: storetest.Start})
	_, err4 := s.Append(t.Context(), "", revocation.Entry{Kind: revocation.User, Value: "alice", Expires: storetest.Start})
	_, err5 := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: "alice"}, Limits: store.Limits{MaxFamilies: 1}})
	_, _, err6 := s.Revocations(t.Context(), 0, 10)
	_, err7 := s.Compact(t.Context(), storetest.Start)
	err8 := s.Acquaint(t.Context(), "alice", "here", storetest.Start, storetest.Start.Add(time.Hour))
	_, err9 := s.Acquainted(t.Context(), "alice", "here", storetest.Start)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("operation %d on a damaged record: %v", i+1, err)
		}
	}
	// The rest of the file goes on.
	family(t, s, "carol")
}

func TestAContextThatEndsWhileWaiting(t *testing.T) {
	s := openHere(t)
	hold, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.update(context.Background(), func(*bbolt.Tx) error { close(held); <-hold; return nil })
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Create(ctx, store.NewFamily{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	close(hold)
}

// A family used between the look and the removal must stay.
func TestCompactionLooksAgain(t *testing.T) {
	s := openHere(t)
	created := family(t, s, "alice")
	key := created.Token.Family()
	removed, err := s.removeDead(t.Context(), bucketFamilies, [][]byte{key[:], make([]byte, 16)}, func(tx *bbolt.Tx, k, v []byte) (bool, error) {
		return forgetFamily(tx, k, v, storetest.Start.Add(time.Minute))
	})
	if err != nil || removed != 0 {
		t.Errorf("removed %d, %v", removed, err)
	}
	for i := range 2*compactStep + 10 {
		family(t, s, fmt.Sprint("u", i))
	}
	if n, err := s.Compact(t.Context(), storetest.Start.Add(2*time.Hour)); err != nil || n != 2*compactStep+11 {
		t.Errorf("removed %d, %v", n, err)
	}
	_ = s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketFamilies, bucketSessions, bucketUsers} {
			if k, _ := tx.Bucket(name).Cursor().First(); k != nil {
				t.Errorf("bucket %s is not empty", name)
			}
		}
		return nil
	})
}

// Where ctx ends, the writer may still remove: the caller must not look at its count. The race detector sees it.
func TestACompactionThatIsGivenUp(t *testing.T) {
	s := openHere(t)
	created := family(t, s, "alice")
	key := created.Token.Family()
	hold, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.update(context.Background(), func(*bbolt.Tx) error { close(held); <-hold; return nil })
	}()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	given := make(chan int, 1)
	go func() {
		n, err := s.removeDead(ctx, bucketFamilies, [][]byte{key[:]}, func(*bbolt.Tx, []byte, []byte) (bool, error) {
			defer close(ran)
			return true, nil
		})
		if (err == nil) != (n == 1) || n > 1 {
			t.Errorf("removed %d, error %v", n, err)
		}
		given <- n
	}()
	for len(s.writes) == 0 {
		runtime.Gosched()
	}
	// The writer goes on when the caller is gone: by the clock, because anything else would order the two.
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	cancel()
	<-given
	<-ran
}

// A session that has ended costs neither a commit nor a login's time.
func TestEndedSessionsCostNothing(t *testing.T) {
	s := openHere(t)
	commits := func() (id int) {
		_ = s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	indexed := func() (n int) {
		_ = s.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(bucketUsers).Stats().KeyN; return nil })
		return n
	}
	one, two, three := family(t, s, "alice"), family(t, s, "alice"), family(t, s, "alice")
	request := store.Revoke{SessionID: one.Family.SessionID, Now: storetest.Start}
	first, err := s.RevokeSession(t.Context(), request)
	if err != nil || indexed() != 2 {
		t.Fatalf("%v; %d of two families are looked through at a login", err, indexed())
	}
	entry := revocation.Entry{Kind: revocation.Session, Value: two.Family.SessionID, Expires: storetest.Start.Add(time.Hour)}
	second, err := s.Append(t.Context(), "uid", entry)
	if err != nil || indexed() != 1 {
		t.Fatalf("%v; %d of one family", err, indexed())
	}
	before := commits()
	if again, err := s.RevokeSession(t.Context(), request); err != nil || again != first {
		t.Errorf("again: %d, %v; want %d", again, err, first)
	}
	if again, err := s.Append(t.Context(), "uid", entry); err != nil || again != second {
		t.Errorf("again: %d, %v; want %d", again, err, second)
	}
	if after := commits(); after != before {
		t.Errorf("%d commits for what was there already", after-before)
	}
	// A revocation of the user still finds the one that lives.
	if _, err := s.Append(t.Context(), "", revocation.Entry{Kind: revocation.User, Value: "alice", Expires: storetest.Start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if seen, err := s.Inspect(t.Context(), three.Token, storetest.Start, 0); err != nil || seen.Outcome != store.Revoked || indexed() != 0 {
		t.Errorf("outcome %q, %v, %d families in the index", seen.Outcome, err, indexed())
	}
}
