package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// talker is one connection on which requests are sent and answers read without waiting. It is for one goroutine.
type talker interface {
	// room is how many more requests may begin.
	room() int
	// begin adds a request to what is to be sent. tag comes back with the answer.
	begin(token string, tag int)
	// output is what is to be sent; sent tells how much was.
	output() []byte
	sent(n int)
	// input takes what was received and calls done for each answer that is whole. text is good until done returns.
	input(b []byte, done func(tag int, allowed bool, text []byte)) error
}

// line is a talker with its socket.
type line struct {
	talker
	fd int
}

// running is a flow that runs.
type running struct {
	flow
	items []item
	lines []*line
	next  int          // the line for the next request
	begun int          // requests so far
	open  int          // those without an answer
	due   []int64      // of each request, nanoseconds since the start
	taken []int64      // of each answer
	late  []int64      // how long after its instant each request was begun
	gap   float64      // nanoseconds between two
	last  int64        // when the last answer came
	end   int64        // no request begins after
	wrong flowFigures  // of what Wrong and FirstWrong are used
	clock func() int64 // nanoseconds since the start
}

// runJob is the loop of one process that does nothing else: one thread, no scheduler between it and the sockets.
func runJob(j job, sets map[string][]item) ([]flowFigures, error) {
	start := time.Now()
	clock := func() int64 { return int64(time.Since(start)) }
	var flows []*running
	var all []*line
	defer func() {
		for _, l := range all {
			_ = unix.Close(l.fd)
		}
	}()
	for _, f := range j.Flows {
		r := &running{flow: f, items: sets[f.Set], clock: clock, end: int64(j.Duration)}
		if len(r.items) == 0 || f.Connections < 1 || f.AtOnce < 1 {
			return nil, fmt.Errorf("nothing to send: %+v", f)
		}
		if f.Rate > 0 {
			r.gap = 1e9 / f.Rate
		}
		for range f.Connections {
			l, err := dial(j.Protocol, j.Address, f.AtOnce)
			if err != nil {
				return nil, err
			}
			r.lines, all = append(r.lines, l), append(all, l)
		}
		flows = append(flows, r)
	}
	shift := clock() // dialling took time
	for _, r := range flows {
		r.clock = func() int64 { return clock() - shift }
	}
	if err := loop(flows); err != nil {
		return nil, err
	}
	figures := make([]flowFigures, 0, len(flows))
	for _, r := range flows {
		figures = append(figures, r.figures())
	}
	return figures, nil
}

// patience ends a run in which no answer comes.
const patience = 10 * time.Second

func loop(flows []*running) error {
	var polled []unix.PollFd
	var owners []*running
	buffer := make([]byte, 256<<10)
	for {
		now, wake, busy := flows[0].clock(), int64(patience), false
		polled, owners = polled[:0], owners[:0]
		for _, r := range flows {
			wake = min(wake, r.advance(now)-now)
			busy = busy || !r.over(now)
			for _, l := range r.lines {
				if err := l.flush(); err != nil {
					return err
				}
				p := unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN} //nolint:gosec // a descriptor
				if len(l.output()) > 0 {
					p.Events |= unix.POLLOUT
				}
				polled, owners = append(polled, p), append(owners, r)
			}
		}
		if !busy {
			return nil
		}
		timeout := unix.NsecToTimespec(max(0, wake))
		n, err := unix.Ppoll(polled, &timeout, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0 && wake >= int64(patience):
			return errors.New("no answer came")
		}
		at := 0
		for _, r := range flows {
			for _, l := range r.lines {
				if polled[at].Revents != 0 {
					if err := r.read(l, buffer); err != nil {
						return err
					}
				}
				at++
			}
		}
	}
}

// over tells whether nothing is left to do.
func (r *running) over(now int64) bool { return r.open == 0 && r.finished(now) }

func (r *running) finished(now int64) bool {
	if r.Count > 0 {
		return r.begun >= r.Count
	}
	if r.gap > 0 {
		return int64(float64(r.begun)*r.gap) >= r.end
	}
	return now >= r.end && r.begun > 0 // a core that others had all the time sends one request at least
}

// advance begins what is due and for which there is room, and returns when the next is due.
func (r *running) advance(now int64) int64 {
	for skipped := 0; skipped < len(r.lines) && !r.finished(now); {
		due := now
		if r.gap > 0 {
			if due = int64(float64(r.begun) * r.gap); due > now {
				return due
			}
		}
		l := r.lines[r.next]
		r.next = (r.next + 1) % len(r.lines)
		if l.room() == 0 {
			skipped++
			continue
		}
		skipped = 0
		l.begin(r.items[r.begun%len(r.items)].Token, r.begun)
		r.due, r.late = append(r.due, due), append(r.late, now-due)
		r.begun++
		r.open++
	}
	if r.open == 0 {
		return now // over
	}
	return now + int64(patience)
}

// read takes what has come.
func (r *running) read(l *line, buffer []byte) error {
	n, err := unix.Read(l.fd, buffer)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server closed a connection")
	}
	now := r.clock()
	return l.input(buffer[:n], func(tag int, allowed bool, text []byte) {
		r.open--
		r.last = now
		r.taken = append(r.taken, now-r.due[tag])
		r.judge(tag, allowed, text)
	})
}

// judge looks whether an answer is the right one.
func (r *running) judge(tag int, allowed bool, text []byte) {
	if want := &r.items[tag%len(r.items)]; r.Judge && (allowed != want.Allow || !contains(text, want.Want)) {
		if r.wrong.Wrong++; r.wrong.Wrong == 1 {
			r.wrong.FirstWrong = fmt.Sprintf("allowed %v, want %v for %s: %.600q", allowed, want.Allow, want.Want, text)
		}
	}
}

func (r *running) figures() flowFigures {
	f := r.wrong
	f.Count = len(r.taken)
	f.PerSecond = float64(f.Count) / (float64(r.last) / 1e9)
	f.P50, f.P99 = float64(quantile(r.taken, 0.5))/1e6, float64(quantile(r.taken, 0.99))/1e6
	f.Late = float64(quantile(r.late, 0.99)) / 1e6
	return f
}

// flush sends what the socket takes.
func (l *line) flush() error {
	for out := l.output(); len(out) > 0; out = l.output() {
		n, err := unix.Write(l.fd, out)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		l.sent(n)
	}
	return nil
}

func dial(protocol, address string, atOnce int) (*line, error) {
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	l := &line{fd: fd}
	switch protocol {
	case "grpc":
		l.talker = newGRPCTalker(atOnce)
	default:
		l.talker = &httpTalker{}
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}), unix.SetNonblock(fd, true))
	if err != nil {
		_ = unix.Close(fd)
	}
	return l, err
}
