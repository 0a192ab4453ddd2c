package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxKept bounds an input that is kept, in bytes.
const maxKept = 2 << 10

// keep copies inputs that reached new code from the build cache to where go test replays them, so that there are at most
// so many. The inputs are run once more, the shortest first; those are kept that add most to what the seeds, the kept
// ones and shorter inputs reach.
func (w *workshop) keep(ctx context.Context, t target, most int) (int, error) {
	into := filepath.Join(t.dir, "testdata", "fuzz", t.function)
	kept, err := contents(into)
	if err != nil {
		return 0, err
	}
	empty, err := os.MkdirTemp(w.dir, "empty-")
	if err != nil {
		return 0, err
	}
	trial, err := os.MkdirTemp(w.dir, "keep-")
	if err != nil {
		return 0, err
	}
	inputs, err := inOrder(filepath.Join(w.inputs(t), t.function), filepath.Join(trial, t.function), kept)
	if err != nil || len(inputs) == 0 {
		return 0, err
	}
	seeds, err := w.gains(ctx, t, empty)
	if err != nil {
		return 0, err
	}
	gains, err := w.gains(ctx, t, trial)
	if err != nil {
		return 0, err
	}
	if len(gains) != len(seeds)+len(inputs) {
		return 0, fmt.Errorf("%s: some of its inputs are among its seeds: go clean -fuzzcache, and fuzz again", t.name())
	}
	gains = gains[len(seeds):]
	best := make([]int, 0, len(inputs))
	for i := range inputs {
		if gains[i] > 0 {
			best = append(best, i)
		}
	}
	slices.SortStableFunc(best, func(a, b int) int { return cmp.Compare(gains[b], gains[a]) })
	best = best[:min(len(best), max(0, most-len(kept)))]
	if len(best) > 0 {
		if err := os.MkdirAll(into, 0o750); err != nil {
			return 0, err
		}
	}
	for _, i := range best {
		name := fmt.Sprintf("%x", sha256.Sum256([]byte(inputs[i])))[:16] // as go test names them
		if err := os.WriteFile(filepath.Join(into, name), []byte(inputs[i]), 0o600); err != nil {
			return 0, err
		}
	}
	return len(best), nil
}

// gain is a line of a run with GODEBUG=fuzzdebug=1: how much an input reaches that none before it did.
var gain = regexp.MustCompile(`processed an initial input, .*new bits: (\d+)`)

// gains tells it of each input: of the seeds, of those that are kept, and of those in the directory, in this order.
func (w *workshop) gains(ctx context.Context, t target, inputs string) ([]int, error) {
	program, err := w.build(ctx, t)
	if err != nil {
		return nil, err
	}
	cmd := command(ctx, program, t, inputs, 10_000, 1)
	cmd.Env = append(os.Environ(), "GODEBUG=fuzzdebug=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", t.name(), err, out)
	}
	var all []int
	for _, m := range gain.FindAllSubmatch(out, -1) {
		bits, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return nil, err
		}
		all = append(all, bits)
	}
	return all, nil
}

// contents are the files of a directory that may not be there.
func contents(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	all := map[string]bool{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all[string(raw)] = true
	}
	return all, err
}

// inOrder copies the inputs that are not too long and not kept, under names in the order of their length, and returns
// them in this order.
func inOrder(from, to string, kept map[string]bool) ([]string, error) {
	found, err := contents(from)
	if err != nil {
		return nil, err
	}
	inputs := make([]string, 0, len(found))
	for input := range found {
		if len(input) <= maxKept && !kept[input] {
			inputs = append(inputs, input)
		}
	}
	slices.SortFunc(inputs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	if err := os.Mkdir(to, 0o750); err != nil {
		return nil, err
	}
	for i, input := range inputs {
		if err := os.WriteFile(filepath.Join(to, fmt.Sprintf("%06d", i)), []byte(input), 0o600); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}
