package plugin

import (
	"context"
	"fmt"
	"time"
)

// watchEvery is how often --watch looks again.
const watchEvery = 2 * time.Second

// clearScreen moves to the top left and empties what is below.
const clearScreen = "\x1b[H\x1b[2J"

// show prints what look returns: once, or again and again until ctx ends. The first look must succeed; a later failure is
// printed in place of the answer, because a watch is for the time when something breaks.
func (s *Session) show(ctx context.Context, watch bool, look func() (report any, draw func() string, err error)) error {
	report, draw, err := look()
	if err != nil {
		return err
	}
	if !watch {
		return s.print(report, draw)
	}
	last := ""
	for {
		text, err := s.text(report, draw)
		if err != nil {
			return err
		}
		if err := s.redraw(text, &last); err != nil || !s.wait(ctx, watchEvery) {
			return err
		}
		report, draw, err = look()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Ctrl-C ends a watch in good order
		case err != nil && s.Format.forMachines():
			return err
		case err != nil:
			trouble := Explain(err, s.Namespace)
			draw = func() string { return DrawTrouble(s.Screen, trouble) }
		}
	}
}

// redraw replaces the screen, or, where there is none, prints what is new.
func (s *Session) redraw(text string, last *string) error {
	if s.Screen.Terminal && !s.Format.forMachines() {
		head := fmt.Sprintf("Every %s  %s\n\n", watchEvery, instant(s.Now()))
		_, err := fmt.Fprint(s.Out, clearScreen, s.Screen.paint(faint, head), text)
		return err
	}
	if text == *last {
		return nil
	}
	separator := ""
	if *last != "" && s.Format != JSON {
		separator = "---\n"
	}
	*last = text
	_, err := fmt.Fprint(s.Out, separator, text)
	return err
}
