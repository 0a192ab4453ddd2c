package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout ends a request that nobody answers; it counts as an error.
const requestTimeout = 30 * time.Second

// maxAnswer bounds an answer, head and body together.
const maxAnswer = 32 << 10

// conn is one keep-alive HTTP/1.1 connection, spoken by hand: ten thousand clients of net/http would need more memory and
// more of the two cores than what they measure. It is for one goroutine at a time; the zero value with an address dials
// when it is needed.
type conn struct {
	address string
	net     net.Conn
}

// wire is what all connections share.
var wire struct {
	buffers sync.Pool
	open    atomic.Int64 // connections that are open now
	again   atomic.Int64 // connections that the server had closed before the next request
}

// answer is a response. body belongs to the buffer and is good until it is used again.
type answer struct {
	status int
	body   []byte
}

// do sends a request and hands the answer to read, before its buffer is used again. A connection that was closed while it
// was idle, and gives not one byte, is opened again once, as every HTTP client does.
func (c *conn) do(request func(to []byte) []byte, read func(answer) error) error {
	held, _ := wire.buffers.Get().(*[]byte)
	if held == nil {
		held = new([]byte)
	}
	defer wire.buffers.Put(held)
	buffer := request((*held)[:0])
	defer func() { *held = buffer }()
	fresh := c.net == nil
	a, any, err := c.exchange(&buffer)
	if err != nil && !any && !fresh && !isTimeout(err) {
		wire.again.Add(1)
		a, _, err = c.exchange(&buffer)
	}
	if err != nil {
		return err
	}
	return read(a)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// exchange writes the buffer, reads one response behind it, and tells whether any byte came. An error closes the connection.
func (c *conn) exchange(buffer *[]byte) (a answer, any bool, err error) {
	if c.net == nil {
		if c.net, err = net.DialTimeout("tcp", c.address, requestTimeout); err != nil {
			c.net = nil
			return answer{}, false, err
		}
		wire.open.Add(1)
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.net.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return answer{}, false, err
	}
	if _, err := c.net.Write(*buffer); err != nil {
		return answer{}, false, err
	}
	sent := len(*buffer)
	for {
		if cap(*buffer)-len(*buffer) < 2<<10 {
			*buffer = append(*buffer, make([]byte, 4<<10)...)[:len(*buffer)]
		}
		n, err := c.net.Read((*buffer)[len(*buffer):cap(*buffer)])
		*buffer = (*buffer)[:len(*buffer)+n]
		received := (*buffer)[sent:]
		if a, whole, err := parse(received); whole || err != nil {
			*buffer = (*buffer)[:sent]
			return a, true, err
		}
		if err != nil {
			*buffer = (*buffer)[:sent]
			return answer{}, len(received) > 0, err
		}
		if len(received) > maxAnswer {
			return answer{}, true, errors.New("the answer is too long")
		}
	}
}

func (c *conn) close() {
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
		wire.open.Add(-1)
	}
}

var (
	headEnd   = []byte("\r\n\r\n")
	lengthKey = []byte("\r\nContent-Length: ")
)

// parse reads a response with a Content-Length, which every answer that is measured has.
func parse(raw []byte) (a answer, whole bool, err error) {
	head, body, found := bytes.Cut(raw, headEnd)
	if !found {
		return answer{}, false, nil
	}
	if len(head) < len("HTTP/1.1 200") || string(head[:9]) != "HTTP/1.1 " {
		return answer{}, false, errors.New("not an HTTP/1.1 response")
	}
	if a.status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return answer{}, false, fmt.Errorf("status line: %w", err)
	}
	_, rest, found := bytes.Cut(head, lengthKey)
	if !found {
		return answer{}, false, errors.New("a response without Content-Length")
	}
	value, _, _ := bytes.Cut(rest, headEnd[:2])
	length, err := strconv.Atoi(string(value))
	if err != nil || length < 0 || length > maxAnswer {
		return answer{}, false, fmt.Errorf("Content-Length %q", value)
	}
	if len(body) < length {
		return answer{}, false, nil
	}
	if len(body) > length {
		return answer{}, false, io.ErrShortBuffer // nobody asked for more
	}
	a.body = body
	return a, true, nil
}

// member takes a string out of a flat JSON object whose values need no unescaping, as tokens do not.
func member(body []byte, name string) string {
	_, rest, found := bytes.Cut(body, []byte(`"`+name+`":"`))
	value, _, closed := bytes.Cut(rest, []byte{'"'})
	if !found || !closed {
		return ""
	}
	return string(value)
}

// volley sends n requests over the connections, each of which sends its share one after the other.
func volley(conns []*conn, n int, request func(connection, i int, to []byte) []byte, read func(connection int, a answer) error) error {
	failed := make(chan error, len(conns))
	for k, c := range conns {
		go func() {
			var err error
			for i := k; i < n && err == nil; i += len(conns) {
				err = c.do(func(to []byte) []byte { return request(k, i, to) }, func(a answer) error { return read(k, a) })
			}
			failed <- err
		}()
	}
	var first error
	for range conns {
		if err := <-failed; err != nil && first == nil {
			first = err
		}
	}
	return first
}
