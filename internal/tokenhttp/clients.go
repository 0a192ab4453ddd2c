package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Clients knows the secrets of OAuth clients.
type Clients interface {
	// Secrets returns the secrets that are good for a client, two while they are being changed. It fails where they
	// cannot be read.
	Secrets(id string) ([]secret.Text, error)
}

// clientForm is that of a client's id: it is a part of a path and of tokens.
var clientForm = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]{0,63}$`)

// loadClients checks the clients of a snapshot.
func (d *Document) loadClients() error {
	d.clients = map[string]snapshot.Client{}
	for _, c := range d.Clients {
		if !clientForm.MatchString(c.ID) || c.ID == webClient {
			return fmt.Errorf("client %.80q: an id has 1 to 64 letters, digits, dots, dashes or underscores, and is not %s", c.ID, webClient)
		}
		if _, twice := d.clients[c.ID]; twice {
			return fmt.Errorf("client %s is there twice", c.ID)
		}
		if len(c.Audiences) == 0 || slices.Contains(c.Audiences, "") {
			return fmt.Errorf("client %s: audiences must name at least one", c.ID)
		}
		d.clients[c.ID] = c
	}
	return nil
}

// MinSecretBytes and MaxSecretBytes bound a client's secret. What is compared is one SHA-256, which is enough only for
// a secret that nobody can guess: 32 characters, even of hexadecimal digits, are 128 bits.
const (
	MinSecretBytes = 32
	MaxSecretBytes = 256
)

// ClientFiles are the secrets in files: <dir>/<id>/secret, one or two lines, each of them good. So a secret is changed
// without a gap: add the new one as the second line, move the client over, remove the first. A file is read again when
// it changes; a bad new content is refused and reported, and the old one stays; one that is taken away takes its secrets
// away. Safe for concurrent use.
type ClientFiles struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	open   map[string]*snapshot.File[[]secret.Text]
	follow context.Context // set while Run runs
	group  sync.WaitGroup
}

// NewClientFiles returns the secrets below dir. Nothing is read before a client is asked for.
func NewClientFiles(dir string, log *slog.Logger, now func() time.Time) *ClientFiles {
	return &ClientFiles{dir: dir, log: log, now: now, open: map[string]*snapshot.File[[]secret.Text]{}}
}

// Run follows the files until ctx ends.
func (c *ClientFiles) Run(ctx context.Context) error {
	c.mu.Lock()
	c.follow = ctx
	for _, file := range c.open {
		c.start(file)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.follow = nil
	c.mu.Unlock()
	c.group.Wait()
	return ctx.Err()
}

func (c *ClientFiles) start(file *snapshot.File[[]secret.Text]) {
	if ctx := c.follow; ctx != nil {
		c.group.Go(func() { _ = file.Run(ctx) }) // it ends with ctx and not before
	}
}

// Secrets implements [Clients]. Ask only for clients that are configured: each is followed from then on.
func (c *ClientFiles) Secrets(id string) ([]secret.Text, error) {
	if !clientForm.MatchString(id) {
		return nil, errors.New("not a client's id")
	}
	file := c.file(id)
	if good := file.Load(); good != nil {
		return *good, nil
	}
	if refused := file.Refused(); refused != nil {
		return nil, fmt.Errorf("the secret of client %s: %s", id, refused.Message)
	}
	return nil, fmt.Errorf("the secret of client %s was not read yet", id)
}

func (c *ClientFiles) file(id string) *snapshot.File[[]secret.Text] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if file := c.open[id]; file != nil {
		return file
	}
	// One volume may hold all clients as folders; then its link `..data` is in the directory above.
	file := snapshot.Open(filepath.Join(c.dir, id, "secret"), func(raw []byte, _ *[]secret.Text) (*[]secret.Text, error) {
		return parseSecrets(string(raw))
	}, c.log, c.now, snapshot.ForgetMissing(), snapshot.Watching(c.dir))
	c.open[id] = file
	c.start(file)
	return file
}

// parseSecrets reads one or two lines. No error quotes them.
func parseSecrets(content string) (*[]secret.Text, error) {
	var good []secret.Text
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < MinSecretBytes || len(line) > MaxSecretBytes {
			return nil, fmt.Errorf("a client's secret has %d to %d characters: make one with openssl rand -hex 32", MinSecretBytes, MaxSecretBytes)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a client's secret is printable ASCII without spaces: make one with openssl rand -hex 32")
		}
		good = append(good, secret.NewText(line))
	}
	if len(good) == 0 || len(good) > 2 {
		return nil, fmt.Errorf("%d secrets; a client has one line, or two while its secret is being changed", len(good))
	}
	return &good, nil
}
