package identity

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/webhook"
)

// How a provider's keys are kept.
const (
	// keysEvery is how often they are fetched: a key that the provider withdrew is good for that long.
	keysEvery = 15 * time.Minute
	// keysAgain is the least time between two fetches, whatever asks for them: strangers' tokens make no storm.
	keysAgain = 10 * time.Second
	// keysFor is how long they are good if the provider cannot be asked.
	keysFor = 24 * time.Hour
	// fetchFor bounds a fetch, waitFor how long a request waits for one.
	fetchFor = 10 * time.Second
	waitFor  = 3 * time.Second
	// maxKeyDocument bounds each of the provider's documents.
	maxKeyDocument = 256 << 10
)

// provider knows the keys of an OpenID Connect provider (OpenID Connect Discovery 1.0). It is safe for concurrent use.
type provider struct {
	source, issuer string
	files          *webhook.Files
	log            *slog.Logger
	now            func() time.Time

	mu      sync.Mutex
	keys    *keySet
	fetched time.Time     // when keys were fetched
	tried   time.Time     // when a fetch began last
	failed  error         // of the last fetch
	flight  chan struct{} // closed when the fetch under way ends; nil if none is
}

func openProvider(s *Sources, source, issuer string) *provider {
	return &provider{
		source: source, issuer: issuer, log: s.log, now: s.now,
		files: s.files(source, webhook.CAFile),
	}
}

// run fetches the keys now and from time to time.
func (p *provider) run(ctx context.Context) {
	for {
		wait := keysEvery
		if flight := p.fetch(); flight != nil {
			<-flight // bounded by fetchFor
		}
		p.mu.Lock()
		if p.failed != nil || p.keys == nil {
			wait = keysAgain
		}
		p.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			p.files.Close()
			return
		case <-timer.C:
		}
	}
}

// find returns the keys that the token may be signed with. An unknown kid makes the keys be fetched again, unless that
// was done a moment ago.
func (p *provider) find(ctx context.Context, t *subjectToken) ([]crypto.PublicKey, error) {
	if found, _ := p.look(t); len(found) > 0 {
		return found, nil
	}
	if flight := p.fetch(); flight != nil {
		patience := time.NewTimer(waitFor)
		defer patience.Stop()
		select {
		case <-flight:
		case <-patience.C:
			return nil, unavailable("the keys of %s are being fetched", p.issuer)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	found, err := p.look(t)
	switch {
	case len(found) > 0:
		return found, nil
	case err != nil:
		return nil, err
	}
	return nil, deny(UnknownKey)
}

// look returns the candidates among the keys at hand, or why there may be others.
func (p *provider) look(t *subjectToken) ([]crypto.PublicKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.keys != nil && p.now().Sub(p.fetched) > keysFor:
		return nil, unavailable("the keys of %s are older than %s", p.issuer, keysFor)
	case p.keys != nil:
		if found := p.keys.candidates(t); len(found) > 0 {
			return found, nil
		}
	}
	if p.failed != nil {
		return nil, unavailable("the keys of %s cannot be fetched: %w", p.issuer, p.failed)
	}
	if p.keys == nil {
		return nil, unavailable("the keys of %s were not fetched yet", p.issuer)
	}
	return nil, nil
}

// fetch begins to fetch the keys and returns what is closed at the end; nil if that was tried a moment ago.
func (p *provider) fetch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flight != nil {
		return p.flight
	}
	now := p.now()
	if elapsed := now.Sub(p.tried); !p.tried.IsZero() && elapsed >= 0 && elapsed < keysAgain {
		return nil
	}
	p.tried = now
	flight := make(chan struct{})
	p.flight = flight
	go func() { // not the request's: it may end before the keys are there
		ctx, cancel := context.WithTimeout(context.Background(), fetchFor)
		defer cancel()
		keys, err := p.download(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil {
			p.keys, p.fetched = keys, now
		} else {
			p.log.Warn("identity_keys_not_fetched", "source", p.source, "issuer", p.issuer, "error", err.Error())
		}
		p.failed, p.flight = err, nil
		close(flight)
	}()
	return flight
}

func (p *provider) download(ctx context.Context) (*keySet, error) {
	raw, err := p.get(ctx, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var about struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if json.Unmarshal(raw, &about) != nil {
		return nil, errors.New("discovery: not a JSON object with issuer and jwks_uri")
	}
	if about.Issuer != p.issuer {
		return nil, fmt.Errorf("discovery: the issuer there is %.200q, configured is %q: they must be the same, byte for byte", about.Issuer, p.issuer)
	}
	if err := webhook.CheckURL(about.JWKS, true); err != nil {
		return nil, fmt.Errorf("discovery: jwks_uri %w", err)
	}
	if raw, err = p.get(ctx, about.JWKS); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return readKeySet(raw)
}

func (p *provider) get(ctx context.Context, url string) ([]byte, error) {
	peer, err := p.files.Use()
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "keyturn")
	response, err := peer.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d (redirects are not followed)", url, response.StatusCode)
	}
	return webhook.ReadBody(response, maxKeyDocument)
}
