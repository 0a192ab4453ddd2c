package legacy

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/webhook"
)

// The directories below --legacy-dir.
const (
	validatorDir = "validator"
	issuerDir    = "issuer"
	revokerDir   = "revoker"
)

// Further files of those directories; see also package webhook.
const (
	usernameFile = "username"
	passwordFile = "password"
	// secretFile has the secrets that sign cookies, one a line; the first signs.
	secretFile = "secret"
)

// closeAfter is how long what a new snapshot does not need stays open for the requests that still use the old one.
const closeAfter = time.Minute

// Keeper keeps what outlives a snapshot: connections, breakers, caches. Each belongs to a configuration, and ends with the
// first [Source] that is built without it. Safe for concurrent use, but build one Source at a time.
type Keeper struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	open map[string]closer
}

type closer interface{ close() }

// NewKeeper returns a keeper with credentials in the directories validator, issuer and revoker below dir. Nothing is read
// before it is needed.
func NewKeeper(dir string, log *slog.Logger, now func() time.Time) *Keeper {
	return &Keeper{dir: dir, log: log, now: now, open: map[string]closer{}}
}

// Run closes everything when ctx ends. There is no other work beside the requests.
func (k *Keeper) Run(ctx context.Context) error {
	<-ctx.Done()
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, c := range k.open {
		c.close()
		delete(k.open, key)
	}
	return ctx.Err()
}

// opening is the building of one source.
type opening struct {
	*Keeper
	used map[string]closer
}

// keep returns what belongs to a configuration, made on first use.
func keep[T closer](o *opening, kind string, config any, open func() (T, error)) (T, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		var none T
		return none, err
	}
	key := kind + string(raw)
	o.mu.Lock()
	defer o.mu.Unlock()
	if kept, ok := o.open[key].(T); ok {
		o.used[key] = kept
		return kept, nil
	}
	fresh, err := open()
	if err == nil {
		o.used[key] = fresh
	}
	return fresh, err
}

// commit lets what the new source does not use end.
func (o *opening) commit() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, c := range o.open {
		if o.used[key] == nil {
			time.AfterFunc(closeAfter, c.close)
		}
	}
	o.open = o.used
}

// abandon ends what was opened for a source that was not built.
func (o *opening) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, c := range o.used {
		if o.open[key] == nil {
			c.close()
		}
	}
}

// files are the credentials of a part.
func (k *Keeper) files(part string, names ...string) *webhook.Files {
	names = append(names, webhook.CAFile, webhook.CertFile, webhook.KeyFile)
	return webhook.NewFiles(filepath.Join(k.dir, part), names, k.log, "legacy_credentials_refused", k.now)
}

func failures(asked string) webhook.Failures {
	return webhook.Failures{Unavailable: ErrUnavailable, Asked: asked, Event: "legacy_breaker"}
}
