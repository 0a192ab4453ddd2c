package postgres

import "sync"

// Subscribe implements [store.Log].
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.add() }

// watchers are the channels that want to know of new revocations. The zero value is ready.
type watchers struct {
	mu   sync.Mutex
	all  map[int]chan struct{}
	next int
	last uint64 // the newest entry they were told of
}

func (w *watchers) add() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[int]chan struct{}{}
	}
	id, ch := w.next, make(chan struct{}, 1)
	w.next++
	w.all[id] = ch
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

// heard tells the watchers of an entry, once, though it is heard of by the commit and by the server's notification.
func (w *watchers) heard(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.last {
		w.last = number
		w.tell()
	}
}

// rumour tells the watchers of an entry that somebody says there is. It is not noted: whoever may connect to the
// database may say so.
func (w *watchers) rumour(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.last {
		w.tell()
	}
}

// notify tells the watchers that there may be something new.
func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell()
}

func (w *watchers) tell() {
	for _, ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one is waiting already
		}
	}
}
