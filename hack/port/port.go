// Package port keeps loopback ports for programs that tests start later, or again.
//
// A port that was found free and given back may be anybody's a moment later: another test that listens on any port, or an
// outgoing connection. One that is kept is bound and not listened on. The kernel gives it to nobody who takes any port and
// refuses connections to it; a program that sets SO_REUSEADDR, as servers do, listens on it at any time, ends, and listens
// again. Where the kernel is not Linux the port is only found.
package port

import (
	"net"
	"strconv"
)

// Kept is a port of 127.0.0.1. It is kept until Release, or until nothing refers to it.
type Kept struct {
	number int
	*socket
}

// Keep keeps a port that nobody has.
func Keep() (*Kept, error) { return keep(0) }

// KeepNumber keeps this port. It is an error if somebody listens on it.
func KeepNumber(number int) (*Kept, error) { return keep(number) }

// Number is the port.
func (k *Kept) Number() int { return k.number }

// Address is host:port.
func (k *Kept) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(k.number)) }

// test is what For needs of a testing.T.
type test interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
}

// For returns the address of a port that is kept until the test ends.
func For(t test) string {
	t.Helper()
	k, err := Keep()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Release)
	return k.Address()
}
