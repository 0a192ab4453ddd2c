package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// screen writes what people read. Colour is used on a terminal only, and not where NO_COLOR is set.
type screen struct {
	out    io.Writer
	colour bool
}

func newScreen(file *os.File) *screen {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: file, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) title(text string) {
	fmt.Fprintf(s.out, "\n%s\n", s.paint("1", "== "+text))
}

func (s *screen) text(text string) { fmt.Fprintln(s.out, text) }

// command shows what a person would type.
func (s *screen) command(text string) {
	fmt.Fprintf(s.out, "\n%s\n", s.paint("36", "$ "+text))
}

// table shows what a command printed, indented.
func (s *screen) table(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprint(s.out, "  ", line)
	}
	fmt.Fprintln(s.out)
}

// check shows one fact and whether it is as it should be.
func (s *screen) check(good bool, what, got string) {
	mark := s.paint("32", "ok  ")
	if !good {
		mark = s.paint("31", "FAIL")
	}
	fmt.Fprintf(s.out, "  %s  %-58s %s\n", mark, what, got)
}
