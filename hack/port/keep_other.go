//go:build !linux

package port

import (
	"fmt"
	"net"
)

type socket struct{}

// Release does nothing: the port is nobody's.
func (*socket) Release() {}

func keep(number int) (*Kept, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number))
	if err != nil {
		return nil, err
	}
	defer listener.Close()                                         //nolint:errcheck // nobody has connected
	return &Kept{number: listener.Addr().(*net.TCPAddr).Port}, nil //nolint:forcetypeassert // it is TCP
}
