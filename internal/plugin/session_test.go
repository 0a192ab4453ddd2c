package plugin

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// call is a session with a fake API server, a stepped clock and two pages to write on.
type call struct {
	Session
	out, err bytes.Buffer
	time     time.Time
	// onWait runs before each wait ends; it plays the manager. It returns false to end the context.
	onWait func(waits int) bool
	waits  int
	ctx    context.Context
}

func newCall(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *call {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c := &call{time: now}
	ctx, cancel := context.WithCancel(t.Context())
	c.ctx = ctx
	c.Session = Session{
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build(),
		Namespace: "demo", Out: &c.out, Err: &c.err, Screen: fineScreen,
		Now: func() time.Time { return c.time },
	}
	c.After = func(d time.Duration) <-chan time.Time {
		c.time = c.time.Add(d)
		c.waits++
		if c.onWait != nil && !c.onWait(c.waits) {
			cancel()
			return nil // never: ctx has ended
		}
		done := make(chan time.Time, 1)
		done <- c.time
		return done
	}
	return c
}

// noFuncs intercepts nothing.
var noFuncs = interceptor.Funcs{}

func TestKeysCommand(t *testing.T) {
	for _, row := range []struct {
		name    string
		options KeysOptions
		format  Format
		objects []client.Object
	}{
		{"command-keys", KeysOptions{}, Text, []client.Object{rotatedSet(), manualSet()}},
		{"command-keys-json", KeysOptions{Set: "main"}, JSON, []client.Object{rotatedSet()}},
		{"command-keys-yaml", KeysOptions{Set: "main"}, YAML, []client.Object{stuckSet()}},
		{"command-keys-none", KeysOptions{}, Text, nil},
		{"command-keys-none-json", KeysOptions{}, JSON, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCall(t, noFuncs, row.objects...)
			c.Format = row.format
			if err := c.Keys(c.ctx, row.options); err != nil {
				t.Fatal(err)
			}
			golden(t, row.name, c.out.String())
		})
	}
}

func TestStatusCommand(t *testing.T) {
	for _, row := range []struct {
		name      string
		namespace string
		format    Format
	}{
		{"command-status", "demo", Text}, {"command-status-all", "", Text}, {"command-status-json", "demo", JSON}, {"command-status-elsewhere", "empty", Text},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCall(t, noFuncs, settledSet(), manualSet(), troubledService(), webPolicy())
			c.Format, c.Namespace = row.format, row.namespace
			if err := c.Status(c.ctx, false); err != nil {
				t.Fatal(err)
			}
			golden(t, row.name, c.out.String())
		})
	}
}

// TestWatch looks three times: the second answer is the same, the third is an error, the fourth is a new answer.
func TestWatch(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		fail := false
		c := newCall(t, interceptor.Funcs{List: func(ctx context.Context, under client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
			if fail {
				return errors.New("the connection broke")
			}
			return under.List(ctx, into, options...)
		}}, settledSet())
		c.Screen.Terminal = terminal
		c.onWait = func(waits int) bool {
			if fail = waits == 2; waits == 3 {
				c.change(t, func(set *v1alpha1.SigningKeySet) { set.Status = rotatedSet().Status })
			}
			return waits < 4
		}
		if err := c.Keys(c.ctx, KeysOptions{Watch: true}); err != nil {
			t.Fatal(err)
		}
		golden(t, map[bool]string{false: "watch", true: "watch-terminal"}[terminal], c.out.String())
	}
}

// TestWatchNeedsOneAnswer ends at once where nothing can ever be seen.
func TestWatchNeedsOneAnswer(t *testing.T) {
	c := newCall(t, noFuncs)
	if err := c.Keys(c.ctx, KeysOptions{Set: "main", Watch: true}); err == nil || c.waits > 0 {
		t.Errorf("%d waits, %v", c.waits, err)
	}
}
