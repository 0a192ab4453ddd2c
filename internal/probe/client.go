package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds of one request.
const (
	within         = 3 * time.Second
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 8 << 10
)

// UserAgent says what asks.
const UserAgent = "keyturn-probe (asks whether the ingress refuses; https://keyturn.dev)"

// Question is what to find out.
type Question struct {
	// URL is one of [ParseURL].
	URL *url.URL
	// Policy is the name that the edge knows it by: namespace/name.
	Policy string
	Key    Key
	// Roots are the authorities that the ingress's certificate is held to; nil: the system's.
	Roots *x509.CertPool
}

// Client asks. Use [New]; it is safe for concurrent use and keeps no connection.
type Client struct {
	reach Reach
	now   func() time.Time
}

// New makes a client for the addresses within reach.
func New(reach Reach, now func() time.Time) *Client { return &Client{reach, now} }

// Ask sends the probe, and where the edge has answered it, the two requests that must be refused.
func (c *Client) Ask(ctx context.Context, q Question) Result {
	client, done := c.client(q.Roots)
	defer done()
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	nonce := Nonce(random)
	first, err := ask(ctx, client, q.URL, "Bearer "+q.Key.Mint(q.Policy, nonce, c.now()).Reveal())
	if err != nil {
		return failed("%s", unreachable(err))
	}
	stance, proven := Stance(""), false
	if first.status == http.StatusUnauthorized {
		stance, proven = q.Key.Proven(first.challenges, nonce, q.Policy)
	}
	if !proven {
		return unproven(first, q)
	}
	for _, step := range steps(stance) {
		seen, err := ask(ctx, client, q.URL, step.authorization)
		if err != nil {
			return failed("the probe was answered by this policy, but %s: %s", step.what, unreachable(err))
		}
		if result, bad := step.judge(seen, q); bad {
			return result
		}
	}
	return granted(stance)
}

// client makes one for a few requests to one host.
func (c *Client) client(roots *x509.CertPool) (client *http.Client, done func()) {
	dialer := &net.Dialer{Timeout: within, Control: c.reach.control}
	transport := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: within, MaxResponseHeaderBytes: maxHeaderBytes, DisableCompression: true, DisableKeepAlives: true,
	}
	return &http.Client{
		Transport: transport, Timeout: within,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, transport.CloseIdleConnections
}

// seen is what is looked at of an answer.
type seen struct {
	status     int
	challenges []string
	// decision is that of an edge, empty where none answered; code is the edge's.
	decision, code string
	// elsewhere: it leads to the same path by another scheme, host or port.
	elsewhere bool
}

func ask(ctx context.Context, client *http.Client, at *url.URL, authorization string) (seen, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return seen{}, err
	}
	request.Header.Set("User-Agent", UserAgent)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Cache-Control", "no-store")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(request)
	if err != nil {
		return seen{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read as far as wanted
	s := seen{
		status: response.StatusCode, challenges: response.Header.Values("WWW-Authenticate"),
		decision: word(response.Header.Get("X-Keyturn-Decision")), code: word(response.Header.Get("X-Keyturn-Code")),
	}
	if to, err := response.Location(); err == nil && s.status/100 == 3 {
		s.elsewhere = to.Path == request.URL.Path && (to.Scheme != at.Scheme || to.Host != at.Host)
	}
	if s.decision != "" && s.code == "" { // some ingresses tell it in the body only
		var body struct {
			Code string `json:"code"`
		}
		if raw, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes)); err == nil && json.Unmarshal(raw, &body) == nil {
			s.code = word(body.Code)
		}
	}
	return s, nil
}

// maxWord bounds what is taken over from an answer.
const maxWord = 40

// word is s if it can be a code or the name of a decision, and empty otherwise.
func word(s string) string {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return ""
		}
	}
	if len(s) > maxWord {
		return ""
	}
	return s
}

// unreachable says why there was no answer. The words are ours: errors of the network may hold what a foreign host said.
func unreachable(err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, errAddress):
		return "its host is at an address that probes do not go to (loopback, link-local, cloud metadata, the API server, or a private network where --probe-private-addresses is false)"
	case errors.As(err, &dns):
		return "its host name cannot be resolved where the manager runs"
	case errors.As(err, &certificate):
		return "the certificate is not one that the manager trusts for this host"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + within.String()
	}
	return "no connection, or no HTTP answer"
}
