package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// clusterKeys are what it takes to verify the ServiceAccount tokens of this cluster without asking it.
type clusterKeys struct {
	// Issuer is the `iss` of the tokens.
	Issuer string
	// JWKS is a JWK Set (RFC 7517, section 5) with public members only, the same bytes for the same keys.
	JWKS []byte
}

// ClusterReader reads the issuer and the keys of this cluster's ServiceAccount tokens.
type ClusterReader interface {
	Read(ctx context.Context) (issuer string, jwks []byte, err error)
}

// How often the cluster's keys are read, how soon again after a failure, and for how long failures are no trouble. An
// API server publishes a key before it signs with it, and its operators wait longer than these five minutes.
const (
	clusterRefresh = 5 * time.Minute
	clusterRetry   = 30 * time.Second
	clusterGrace   = 15 * time.Minute
	clusterTimeout = 10 * time.Second
)

// clusterCache holds the keys that were read last. The zero value, with a reader, is ready; it is safe for concurrent use.
type clusterCache struct {
	reader ClusterReader

	mu sync.Mutex
	// keys are nil until they were read once; good is when they were read last, next when they are to be read again.
	keys       *clusterKeys
	good, next time.Time
	// err is why the last reading failed, nil if it did not.
	err error
}

// clusterReading is what is known of the cluster's keys.
type clusterReading struct {
	// keys are nil until they were read once; good is when they were read last.
	keys *clusterKeys
	good time.Time
	// err is why the last reading failed, nil if it did not; news tells that this was just now.
	err  error
	news bool
}

// get returns what is known, and reads again when it is time.
func (c *clusterCache) get(ctx context.Context, now time.Time) clusterReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := !now.Before(c.next)
	if due {
		c.read(ctx, now)
	}
	return clusterReading{c.keys, c.good, c.err, due && c.err != nil}
}

func (c *clusterCache) read(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	issuer, raw, err := c.reader.Read(ctx)
	var jwks []byte
	if err == nil {
		jwks, err = publicJWKS(raw)
	}
	if err == nil && issuer == "" {
		err = errors.New("the cluster names no issuer: set the API server's --service-account-issuer")
	}
	if err != nil {
		c.err, c.next = withoutAddress(err), now.Add(clusterRetry)
		return
	}
	c.err = nil
	c.keys, c.good, c.next = &clusterKeys{issuer, jwks}, now, now.Add(clusterRefresh)
}

// The members of a public key that a verifier reads (RFC 7517, RFC 7518, RFC 8037).
var publicMembers = []string{"alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"}

// maxClusterKeys bounds the keys that a document carries.
const maxClusterKeys = 64

// publicJWKS brings a JWK Set to one form, whatever the order in which this API server lists it: public members only,
// sorted by kid. A set with no key that a token service could use is an error.
func publicJWKS(raw []byte) ([]byte, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("the cluster's key set is no JSON of RFC 7517")
	}
	var keys []map[string]any
	for _, key := range set.Keys {
		kty, _ := key["kty"].(string)
		if !slices.Contains([]string{"RSA", "EC", "OKP"}, kty) {
			continue
		}
		public := map[string]any{}
		for _, member := range publicMembers {
			if value, is := key[member].(string); is {
				public[member] = value
			}
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 || len(keys) > maxClusterKeys {
		return nil, fmt.Errorf("the cluster's key set has %d keys of a known kind, want 1 to %d", len(keys), maxClusterKeys)
	}
	slices.SortStableFunc(keys, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["kid"]), fmt.Sprint(b["kid"]))
	})
	return json.Marshal(map[string]any{"keys": keys})
}

// apiServer asks the API server itself.
type apiServer struct{ client rest.Interface }

// newAPIServer returns a reader with the manager's own rights.
func newAPIServer(config *rest.Config) (*apiServer, error) {
	own := rest.CopyConfig(config)
	own.APIPath, own.NegotiatedSerializer = "/", serializer.WithoutConversionCodecFactory{CodecFactory: clientgoscheme.Codecs}
	client, err := rest.UnversionedRESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("a client for the cluster's keys: %w", err)
	}
	return &apiServer{client}, nil
}

// Read implements [ClusterReader]. The keys are asked from the API server and not from the address in its discovery
// document, which may be anywhere.
func (a *apiServer) Read(ctx context.Context) (issuer string, jwks []byte, err error) {
	raw, err := a.client.Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("reading /.well-known/openid-configuration of the API server: %w", err)
	}
	var discovery struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(raw, &discovery); err != nil {
		return "", nil, errors.New("the API server's /.well-known/openid-configuration is no JSON")
	}
	if jwks, err = a.client.Get().AbsPath("/openid/v1/jwks").DoRaw(ctx); err != nil {
		return "", nil, fmt.Errorf("reading /openid/v1/jwks of the API server: %w", err)
	}
	return discovery.Issuer, jwks, nil
}
