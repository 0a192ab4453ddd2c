package embedded

import (
	"testing"
	"time"
)

func TestLongestLease(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []time.Duration{0, 5 * time.Second, time.Minute} {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.LongestLease(t.Context()); err != nil || got != want {
			t.Errorf("kept %s, %v; want %s", got, err, want)
		}
		next := map[time.Duration]time.Duration{0: 5 * time.Second, 5 * time.Second: time.Minute}[want]
		if err := s.KeepLongestLease(t.Context(), next); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestID(t *testing.T) {
	dir := t.TempDir()
	id := func(dir string) string {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // a test
		return s.ID()
	}
	first := id(dir)
	if first == "" || id(dir) != first || id(t.TempDir()) == first {
		t.Errorf("id %q is empty, changes, or is that of another file too", first)
	}
}
