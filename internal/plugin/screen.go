package plugin

import (
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Screen is what the text is drawn on. The zero value is 80 columns of plain ASCII.
type Screen struct {
	// Width in columns; 0 is 80.
	Width int
	// Unicode allows more than ASCII.
	Unicode bool
	// Colour allows ANSI colours.
	Colour bool
	// Terminal tells that a person looks at it, so that --watch may redraw it.
	Terminal bool
}

// Bounds of the width: below, nothing fits; above, lines are hard to follow.
const (
	defaultWidth = 80
	minWidth     = 40
	maxWidth     = 160
)

// DetectScreen looks at where out goes and at COLUMNS, LC_ALL, LC_CTYPE, LANG, TERM and NO_COLOR (https://no-color.org).
func DetectScreen(out *os.File, env func(string) string) Screen {
	s := Screen{Terminal: term.IsTerminal(int(out.Fd()))}
	if columns, _, err := term.GetSize(int(out.Fd())); err == nil {
		s.Width = columns
	}
	if columns, err := strconv.Atoi(env("COLUMNS")); s.Width <= 0 && err == nil {
		s.Width = columns
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := env(name); locale != "" { // the first one that is set decides, as in every program
			upper := strings.ToUpper(locale)
			s.Unicode = strings.Contains(upper, "UTF-8") || strings.Contains(upper, "UTF8")
			break
		}
	}
	s.Colour = s.Terminal && env("NO_COLOR") == "" && env("TERM") != "dumb"
	return s
}

func (s Screen) columns() int {
	if s.Width <= 0 {
		return defaultWidth
	}
	return min(max(s.Width, minWidth), maxWidth)
}

// glyph picks the ASCII form where the screen knows no other.
func (s Screen) glyph(fine, plain string) string {
	if s.Unicode {
		return fine
	}
	return plain
}

func (s Screen) arrow() string { return s.glyph("→", "->") }

// tone is a colour by its meaning.
type tone string

const (
	plain  tone = ""
	good   tone = "32"
	bad    tone = "31"
	wary   tone = "33"
	calm   tone = "36"
	faint  tone = "2"
	strong tone = "1"
)

func (s Screen) paint(t tone, text string) string {
	if !s.Colour || t == plain || text == "" {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// clean replaces what could steer a terminal, line ends included.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}

// columnsOf is how many columns a text takes.
func columnsOf(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Mn, r):
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// wrap breaks a text at spaces into lines of at most the given columns; a longer word stays whole, so that it can be copied.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case columnsOf(line)+1+columnsOf(word) > columns:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
