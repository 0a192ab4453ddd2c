package store

import "sync"

// Watchers are the channels that want to know of new revocations: what backends answer [Log.Subscribe] with. Nobody waits
// for a watcher: one that has not taken the last value yet gets no second one. The zero value is ready; it is safe for
// concurrent use.
type Watchers struct {
	mu   sync.Mutex
	all  map[int]chan struct{}
	next int
	last uint64 // the newest revocation that they were told of
}

// Subscribe is [Log.Subscribe].
func (w *Watchers) Subscribe() (<-chan struct{}, func()) {
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

// Notify tells that there may be something new.
func (w *Watchers) Notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell()
}

// Heard tells of the revocation with this number, once: a shared store speaks of this process's own twice, at the write
// and by the server's notification.
func (w *Watchers) Heard(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.last {
		w.last = number
		w.tell()
	}
}

// Rumour tells of a revocation that somebody says there is. It is not noted: where others can say so too, a number that
// was made up must not silence the true ones below it.
func (w *Watchers) Rumour(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.last {
		w.tell()
	}
}

func (w *Watchers) tell() {
	for _, ch := range w.all {
		select {
		case ch <- struct{}{}:
		default: // one is waiting already
		}
	}
}
