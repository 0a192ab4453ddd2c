package tokenhttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// oauthRoutes are the endpoints of RFC 8693, RFC 7009 and RFC 7662.
func (s *Service) oauthRoutes() map[string]route {
	return map[string]route{
		"/auth/token":      {http.MethodPost, s.oauth("token", s.token)},
		"/auth/revoke":     {http.MethodPost, s.oauth("revoke", s.revokeToken)},
		"/auth/introspect": {http.MethodPost, s.oauth("introspect", s.introspect)},
	}
}

// oauth counts the result of an OAuth endpoint and gives its problems the fields of RFC 6749.
func (s *Service) oauth(endpoint string, serve func(http.ResponseWriter, *http.Request) (string, *Problem)) func(http.ResponseWriter, *http.Request) *Problem {
	return func(w http.ResponseWriter, r *http.Request) *Problem {
		result, p := s.ownPage(r)
		if p == nil {
			result, p = serve(w, r)
		}
		s.metrics.oauth.WithLabelValues(endpoint, result).Inc()
		return p.oauth()
	}
}

// ownPage refuses what a page of another site had a browser send. Forms cross without a question, and would spend what
// the address may ask. Programs do not say where they come from; pages that may read answers are allowed ones.
func (s *Service) ownPage(r *http.Request) (string, *Problem) {
	if doc := s.Document(); doc != nil {
		if p := doc.checkOrigin(r, false); p != nil {
			return "cross_site", p
		}
	}
	return "", nil
}

// The challenge of a client that did not prove who it is (RFC 7617).
const basicChallenge = `Basic realm="keyturn", charset="UTF-8"`

// oauth returns the problem as an OAuth client wants it (RFC 6749, section 5.2): `error` and `error_description` beside
// the members of RFC 9457, as application/json, because some clients look for `error` in no other media type. A refresh
// token that is not good is a 400 there.
func (p *Problem) oauth() *Problem {
	if p == nil {
		return nil
	}
	q := *p
	q.Description = q.Title
	if q.Detail != "" {
		q.Description += ": " + q.Detail
	}
	switch q.Code {
	case CodeInvalidClient, CodeUnsupportedGrant, CodeInvalidScope, CodeInvalidTarget:
		q.Error = q.Code
	case CodeRefreshInvalid, CodeRefreshExpired, CodeRefreshReused, CodeSessionRevoked:
		q.Error, q.Status, q.challenge = "invalid_grant", http.StatusBadRequest, ""
	case CodeRateLimited, CodeBusy, CodeNotReady, CodeStoreUnavailable, CodeIdentityDown:
		q.Error = "temporarily_unavailable"
	case CodeInternal:
		q.Error = "server_error"
	default:
		// Among them a subject token that is not good: RFC 8693, section 2.2.2.
		q.Error = "invalid_request"
	}
	return &q
}

func invalidClient() *Problem {
	return &Problem{Status: http.StatusUnauthorized, Code: CodeInvalidClient, Title: "The client did not prove who it is", challenge: basicChallenge}
}

// caller is who sends an OAuth request. The zero value is a public client.
type caller struct {
	snapshot.Client
	known bool
}

// sees tells whether tokens for these audiences are the client's business.
func (c caller) sees(audience []string) bool {
	return c.known && slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(c.Audiences, a) })
}

// identify finds out who sends the request (RFC 6749, section 2.3): a client with its secret, in the header or in the
// body, or nobody in particular. Who claims to be a client and cannot prove it is refused and counted.
func (s *Service) identify(w http.ResponseWriter, r *http.Request, doc *Document, f form, now time.Time) (caller, string, *Problem) {
	claimed, p := readClaim(r.Header, f)
	if p != nil {
		return caller{}, "invalid", p
	}
	if claimed == nil {
		return caller{}, "", nil
	}
	good, err := s.proves(doc, *claimed)
	switch {
	case err != nil:
		s.Log.Error("client_secret_unavailable", "client", claimed.id, "error", err.Error()) // only a configured id gets here
		return caller{}, "unavailable", unavailable(CodeNotReady, "The secret of this client cannot be read at this moment")
	case good:
		return caller{doc.clients[claimed.id], true}, "", nil
	}
	from, trusted := clientAddress(r, doc.TrustedProxies)
	if !trusted {
		s.strangers.note(from, now)
	}
	// Only failures are counted: a good client asks as often as it likes, and costs the store nothing here.
	if result, p := s.limitOAuth(w, r, "client", place(from), doc.LoginLimit.Limit, doc.LoginLimit.Window.Std(), now); p != nil {
		return caller{}, result, p
	}
	return caller{}, "denied", invalidClient()
}

// question is what a client that is known asks of a token (RFC 7009, RFC 7662).
type question struct {
	now   time.Time
	doc   *Document
	who   caller
	token secret.Text
}

// questionOf reads a question, from whom it may come: a public client is not enough.
func (s *Service) questionOf(w http.ResponseWriter, r *http.Request) (question, string, *Problem) {
	about := question{now: s.Now(), doc: s.Document()}
	if about.doc == nil {
		return question{}, "not_ready", errNotReady
	}
	f, p := readForm(w, r)
	if p != nil {
		return question{}, "invalid", p
	}
	var result string
	if about.who, result, p = s.identify(w, r, about.doc, f, about.now); p != nil {
		return question{}, result, p
	}
	if !about.who.known {
		return question{}, "denied", invalidClient()
	}
	if about.token = f.get("token"); about.token.Empty() {
		return question{}, "invalid", badRequest("token is needed")
	}
	return about, "", nil
}

// claim is the client that a request says it comes from. Some clients, curl among them, do not encode what they put
// in the header, so there may be two ways to read the secret.
type claim struct {
	id      string
	secrets []secret.Text
}

// readClaim reads the header and the body; nil if neither names a client but the public one. Two proofs in one
// request are refused (RFC 6749, section 2.3).
func readClaim(h http.Header, f form) (*claim, *Problem) {
	header, p := basicCredentials(h)
	if p != nil {
		return nil, p
	}
	id, proof := f.get("client_id").Reveal(), f.get("client_secret")
	switch {
	case header != nil && !proof.Empty():
		return nil, badRequest("authenticate the client in the header or in the body, not in both")
	case header != nil && id != "" && id != header.id:
		return nil, badRequest("client_id is not the client of the header")
	case header != nil:
		return header, nil
	case id == "" && !proof.Empty():
		return nil, badRequest("client_id is needed with a client_secret")
	case id == "" || id == webClient && proof.Empty():
		return nil, nil
	default:
		return &claim{id: id, secrets: []secret.Text{proof}}, nil
	}
}

// basicCredentials reads Authorization (RFC 7617, RFC 6749, section 2.3.1); nil if there is none.
func basicCredentials(h http.Header) (*claim, *Problem) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return nil, nil
	}
	scheme, rest, found := strings.Cut(values[0], " ")
	if len(values) > 1 || !found || !strings.EqualFold(scheme, "Basic") {
		return nil, invalidClient()
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(rest)
	id, proof, both := strings.Cut(string(raw), ":")
	if err != nil || !both || !utf8.Valid(raw) || strings.ContainsAny(rest, "\r\n") { // the decoder skips line ends
		return nil, invalidClient()
	}
	c := &claim{id: id, secrets: []secret.Text{secret.NewText(proof)}}
	if decoded, err := url.QueryUnescape(id); err == nil {
		c.id = decoded
	}
	if decoded, err := url.QueryUnescape(proof); err == nil && decoded != proof {
		c.secrets = append(c.secrets, secret.NewText(decoded))
	}
	return c, nil
}

// proves compares the hashes of everything shown with those of everything good, in time that depends on their number only.
func (s *Service) proves(doc *Document, c claim) (bool, error) {
	client, configured := doc.clients[c.id]
	if !configured || s.Clients == nil {
		return false, nil
	}
	good, err := s.Clients.Secrets(client.ID)
	if err != nil {
		return false, err
	}
	found := 0
	for _, shown := range c.secrets {
		a := sha256.Sum256([]byte(shown.Reveal()))
		for _, g := range good {
			b := sha256.Sum256([]byte(g.Reveal()))
			found |= subtle.ConstantTimeCompare(a[:], b[:])
		}
	}
	return found == 1, nil
}

// limitOAuth counts one event of a kind from one place and refuses past the limit.
func (s *Service) limitOAuth(w http.ResponseWriter, r *http.Request, kind, where string, limit int, window time.Duration, now time.Time) (string, *Problem) {
	counted, err := s.Limiter.Take(r.Context(), kind+" "+where, limit, window, now)
	if err != nil {
		return "unavailable", s.storeFailed("count", err)
	}
	h := w.Header()
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", kind, limit, seconds(window)))
	remaining := fmt.Sprintf("%q;r=%d", kind, counted.Remaining)
	if counted.Reset > 0 {
		remaining += fmt.Sprintf(";t=%d", seconds(counted.Reset))
	}
	h.Set("RateLimit", remaining)
	if !counted.Allowed {
		return "rate_limited", &Problem{Status: http.StatusTooManyRequests, Code: CodeRateLimited, Title: "Too many requests", retryAfter: max(counted.Reset, time.Second)}
	}
	return "", nil
}
