package controllers

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// TestKeysAtOnce: however many sets want a key, so many are generated at a time and no more; all of them come.
func TestKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atOnce, most, made atomic.Int64
		maker := newKeyMaker(func(token.Algorithm, int) (*token.PrivateKey, error) {
			raise(&most, atOnce.Add(1))
			defer atOnce.Add(-1)
			<-time.After(time.Second)
			made.Add(1)
			return nil, nil
		})
		var all sync.WaitGroup
		for range 10 * keysAtOnce {
			all.Go(func() {
				if _, err := maker.make(context.Background(), token.ES256, 0); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := maker.make(impatient, token.ES256, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that gave up waiting: %v", err)
		}
		if all.Wait(); most.Load() != keysAtOnce || made.Load() != 10*keysAtOnce {
			t.Errorf("%d keys at once and %d in all, want %d and %d", most.Load(), made.Load(), keysAtOnce, 10*keysAtOnce)
		}
	})
}
