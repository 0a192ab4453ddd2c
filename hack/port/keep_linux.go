package port

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// socket is bound to the port.
type socket struct {
	close func()
}

// Release gives the port back. Whoever listens on it goes on.
func (s *socket) Release() { s.close() }

func keep(number int) (*Kept, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	end := sync.OnceFunc(func() { _ = syscall.Close(fd) })
	bound, err := bind(fd, number)
	if err != nil {
		end()
		return nil, err
	}
	s := &socket{close: end}
	runtime.AddCleanup(s, func(end func()) { end() }, end)
	return &Kept{number: bound, socket: s}, nil
}

func bind(fd, number int) (bound int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, nil //nolint:forcetypeassert // it is of AF_INET
}
