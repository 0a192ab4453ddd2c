package port_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/hack/port"
)

// A kept port refuses connections, is listened on again and again, and goes to nobody else meanwhile.
func TestKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("ports are kept on Linux only")
		return
	}
	k, err := port.Keep()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if conn, err := net.Dial("tcp", k.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a connection to a port on which nobody listens: %v, %v", conn, err)
		}
		l, err := net.Listen("tcp", k.Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := port.KeepNumber(k.Number()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port on which somebody listens is kept: %v", err)
		}
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, _ = io.WriteString(conn, "here")
				_ = conn.Close()
			}
		}()
		conn, err := net.Dial("tcp", k.Address())
		if err != nil {
			t.Fatal(err)
		}
		if said, err := io.ReadAll(conn); err != nil || string(said) != "here" {
			t.Errorf("%q, %v", said, err)
		}
		if err := errors.Join(conn.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	k.Release()
	k.Release()
}

// Everybody who takes any port gets another one: all the ports there are are taken, one after the other.
func TestNobodyGetsAKeptPort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("ports are kept on Linux only")
		return
	}
	ports := map[string]bool{}
	for range 64 {
		ports[port.For(t)] = true
	}
	if len(ports) != 64 {
		t.Fatalf("%d different ports of 64", len(ports))
	}
	runtime.GC() // what is not held would be released
	for range 20_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if address := l.Addr().String(); ports[address] {
			t.Errorf("%s was given to somebody else", address)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A program that is started does not get the socket, which would keep the port for good.
func TestSocketIsNotInherited(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("ports are kept on Linux only")
		return
	}
	port.For(t)
	links, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	sockets := 0
	for _, link := range links {
		target, err := os.Readlink("/proc/self/fd/" + link.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		sockets++
		info, err := os.ReadFile("/proc/self/fdinfo/" + link.Name())
		if err != nil || !strings.Contains(string(info), "flags:\t02") { // O_CLOEXEC
			t.Errorf("%s: %s (%v)", target, info, err)
		}
	}
	if sockets == 0 {
		t.Error("no socket was seen")
	}
}
