package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// target is one fuzz function.
type target struct {
	pkg, dir, function string
	with               []string // packages that are watched beside its own
}

func (t target) name() string {
	_, short, _ := strings.Cut(t.pkg, "/keyturn/keyturn/")
	return cmp.Or(short, t.pkg) + "." + t.function
}

var declaration = regexp.MustCompile(`(?m)(?:^//fuzz:with (.+)\n)?^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets finds those of this module whose name is wanted, in the order of their names.
func targets(ctx context.Context, wanted *regexp.Regexp) ([]target, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-f", `{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}{{"\n"}}{{end}}`, "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []target
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		source, err := os.ReadFile(filepath.Join(fields[1], fields[2]))
		if err != nil {
			return nil, err
		}
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			if t := (target{pkg: fields[0], dir: fields[1], function: string(m[2]), with: strings.Fields(string(m[1]))}); wanted.MatchString(t.name()) {
				all = append(all, t)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no fuzz target of that name")
	}
	slices.SortFunc(all, func(a, b target) int { return cmp.Compare(a.name(), b.name()) })
	return all, nil
}
