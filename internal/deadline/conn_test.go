package deadline

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair is an accepted connection and its client, in a bubble.
func pair(t *testing.T) (c, client net.Conn) {
	t.Helper()
	on := make(pipes, 1)
	client = on.dial(t)
	c, err := Listen(on, period).Accept()
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, client
}

var one = make([]byte, 1)

// late is the error of a call whose time is over.
func late(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &timeout) && timeout.Timeout()
}

func TestPastComesAtOnce(t *testing.T) {
	for name, set := range map[string]func(net.Conn, time.Time) error{
		"read": net.Conn.SetReadDeadline, "write": net.Conn.SetWriteDeadline, "both": net.Conn.SetDeadline,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client := pair(t)
				call := func() error { _, err := c.Read(one); return err }
				if name == "write" {
					call = func() error { _, err := c.Write(one); return err }
				}
				began := time.Now()
				for _, lift := range []time.Time{{}, began.Add(time.Hour)} {
					ended := make(chan error)
					go func() { ended <- call() }()
					synctest.Wait()
					check(t, set(c, time.Unix(1, 0)))
					if err := <-ended; !late(err) {
						t.Fatal("of a call under way:", err)
					}
					if err := call(); !late(err) {
						t.Fatal("of the next call:", err)
					}
					check(t, set(c, lift))
					go func() {
						if name == "write" {
							_, _ = io.ReadFull(client, make([]byte, 1))
						} else {
							_, _ = client.Write(one)
						}
					}()
					if err := call(); err != nil {
						t.Fatal("after it was lifted:", err)
					}
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// A call that begins after its time is over waits for nothing, also if nobody was there to be cut off.
func TestOverBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t)
		check(t, c.SetDeadline(time.Unix(1, 0)))
		if _, err := c.Read(one); !late(err) {
			t.Error(err)
		}
		if _, err := c.Write(one); !late(err) {
			t.Error(err)
		}
		check(t, c.SetDeadline(time.Now().Add(time.Minute)))
		time.Sleep(time.Minute + period) //nolint:forbidigo // by the bubble's clock
		synctest.Wait()
		if _, err := c.Read(one); !late(err) {
			t.Error(err)
		}
	})
}

// A deadline that is moved on in time never comes.
func TestMovedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t)
		read := make(chan error, 1)
		go func() { _, err := c.Read(one); read <- err }()
		for range 100 {
			check(t, c.SetReadDeadline(time.Now().Add(2*period)))
			time.Sleep(period + period/2) //nolint:forbidigo // by the bubble's clock
		}
		check(t, c.SetReadDeadline(time.Time{}))
		time.Sleep(time.Hour) //nolint:forbidigo // by the bubble's clock
		_, err := client.Write(one)
		check(t, errors.Join(err, <-read))
	})
}

// What a request needs leaves the connection's own deadline alone, which is what all this is for.
func TestNothingToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t)
		own := 0
		for _, l := range []*limit{&c.(*conn).read, &c.(*conn).write} {
			l.set = func(time.Time) error { own++; return nil }
		}
		go func() { _, _ = client.Write(one) }()
		check(t, c.SetDeadline(time.Now().Add(time.Minute)))
		_, err := c.Read(one)
		check(t, err)
		check(t, c.SetReadDeadline(time.Unix(1, 0))) // nobody reads
		check(t, c.SetReadDeadline(time.Time{}))
		check(t, c.SetDeadline(time.Now().Add(time.Hour)))
		if own > 0 {
			t.Errorf("its own was set %d times", own)
		}
	})
}

// A time that is moved on while it is found over is either over or moved on, and the connection's own follows.
func TestExpireMeetsUntil(t *testing.T) {
	var deadline time.Time
	l := &limit{set: func(t time.Time) error { deadline = t; return nil }}
	l.users.Store(1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				l.expire(10)
			}
		}
	}()
	for i := range 200_000 {
		check(t, l.until(5))
		check(t, l.until(1000))
		if at := l.at.Load(); at != 1000 {
			t.Fatalf("round %d: %d", i, at)
		}
	}
	close(stop)
	<-stopped
	if l.cut || !deadline.IsZero() {
		t.Errorf("cut %v, own deadline %v", l.cut, deadline)
	}
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t)
		check(t, errors.Join(c.Close(), c.Close()))
		if _, err := c.Read(one); !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if on := c.(*conn).on; len(on.open) != 0 {
			t.Error(len(on.open), "are looked at")
		}
		check(t, c.SetDeadline(time.Now().Add(time.Minute)))
	})
}

// The half of a TCP connection can be closed, as net/http does; of a pipe it cannot.
func TestCloseWrite(t *testing.T) {
	c, client := overTCP(t, period)
	check(t, c.(interface{ CloseWrite() error }).CloseWrite())
	if _, err := client.Read(one); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t)
		if err := c.(*conn).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

func overTCP(t *testing.T, period time.Duration) (c, client net.Conn) {
	t.Helper()
	on, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	l := Listen(on, period)
	t.Cleanup(func() { _ = l.Close() })
	client, err = new(net.Dialer).DialContext(t.Context(), "tcp", on.Addr().String())
	check(t, err)
	c, err = l.Accept()
	check(t, err)
	t.Cleanup(func() { _ = client.Close(); _ = c.Close() })
	return c, client
}

// However the end of a time and its being lifted meet, no call hangs that should end, and none ends that should not.
func TestRaces(t *testing.T) {
	rounds := 2000
	if os.Getenv("KEYTURN_SOAK") != "" {
		rounds *= 50
	}
	var all sync.WaitGroup
	for range 4 {
		c, client := overTCP(t, 20*time.Microsecond)
		all.Go(func() {
			word, got := []byte("word"), make([]byte, 4)
			for i := range rounds {
				ahead := time.Duration(i%100) * time.Microsecond
				_ = c.SetReadDeadline(time.Now().Add(ahead))
				if i%3 == 0 {
					all.Go(func() { _ = c.SetWriteDeadline(time.Now().Add(ahead)) }) // another direction is no matter
				}
				if i%2 == 0 {
					if _, err := c.Read(one); !late(err) {
						t.Errorf("nothing was sent: %v", err)
						return
					}
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Hour))
				if _, err := client.Write(word); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, word) {
					t.Errorf("round %d: %q %v", i, got, err)
					return
				}
			}
		})
	}
	all.Wait()
}
