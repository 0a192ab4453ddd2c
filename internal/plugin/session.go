package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// Format says how an answer is printed.
type Format string

// The formats. The zero value is Text.
const (
	Text Format = ""     // tables for people
	Wide Format = "wide" // the same with absolute times, whole kids and addresses
	JSON Format = "json"
	YAML Format = "yaml"
)

// ParseFormat reads the value of -o.
func ParseFormat(text string) (Format, error) {
	switch f := Format(text); f {
	case Text, Wide, JSON, YAML:
		return f, nil
	}
	return "", fmt.Errorf("-o %s is unknown: use json, yaml or wide, or leave it out", clean(text))
}

func (f Format) forMachines() bool { return f == JSON || f == YAML }

// Session is one call of the plugin. It is not safe for concurrent use.
type Session struct {
	Client client.Client
	// Namespace to look at; empty: all of them (reading only).
	Namespace string
	// Out takes the answer, Err warnings and progress.
	Out, Err io.Writer
	Screen   Screen
	Format   Format
	// Now is the clock; After waits.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Connect makes the client that a Session needs. It talks to the API server at the first call, not before.
func Connect(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// wait returns false if ctx ends first.
func (s *Session) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s.After(d):
		return true
	}
}

// note writes one line about what was done or is under way.
func (s *Session) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Err, format+"\n", args...)
}
