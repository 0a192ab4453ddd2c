package node

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/keyturn/keyturn/hack/port"
)

func TestPrefixOfTheKernel(t *testing.T) {
	for _, row := range []struct{ address, mask, want string }{
		{"00000000", "00000000", "0.0.0.0/0"},
		{"000200C0", "00FFFFFF", "192.0.2.0/24"},
		{"0000D50A", "00F0FFFF", "10.213.0.0/20"},
	} {
		if got, err := prefix(row.address, row.mask); err != nil || got.String() != row.want {
			t.Errorf("%s/%s: %s (%v), want %s", row.address, row.mask, got, err, row.want)
		}
	}
	for _, bad := range []string{"", "0", "zz000000", "0000000000"} {
		if got, err := prefix(bad, "00000000"); err == nil {
			t.Errorf("%q was read as %s", bad, got)
		}
	}
}

// The relay passes both ways, passes the end on, and leaves nothing open when it stops.
func TestRelay(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	r, err := startRelay(context.Background(), port.For(t), server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("echo")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "echo" {
		t.Errorf("%q, %v", got, err)
	}
	r.stop()
	if n, err := conn.Read(got); err == nil {
		t.Errorf("after the stop %d bytes came", n)
	}
	if c, err := net.Dial("tcp", r.listener.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}
