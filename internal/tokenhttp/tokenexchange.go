package tokenhttp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// The names of RFC 8693.
const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantRefreshToken  = "refresh_token"
	typeAccessToken    = "urn:ietf:params:oauth:token-type:access_token"
)

// exchanger knows who shows a token of somebody else's. See [identity.Directory.Exchange].
type exchanger interface {
	Exchange(ctx context.Context, subjectTokenType string, token secret.Text, now time.Time) (identity.User, error)
}

// exchangesPerLogin is how many exchanges an address has for each login: programs behind one address come back for
// every access token, people once a day. A client that proved who it is has ten times as many for itself, wherever it is.
const exchangesPerLogin = 10

// maxExchanges bounds the limit that comes of it: the limiter remembers each event.
const maxExchanges = 10_000

// token answers /auth/token (RFC 6749, section 3.2).
func (s *Service) token(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	now := s.Now()
	doc := s.Document()
	if doc == nil {
		return "not_ready", errNotReady
	}
	f, p := readForm(w, r, "audience", "resource")
	if p != nil {
		return "invalid", p
	}
	who, result, p := s.identify(w, r, doc, f, now)
	if p != nil {
		return result, p
	}
	switch f.get("grant_type").Reveal() {
	case "":
		return "invalid", badRequest("grant_type is needed")
	case grantRefreshToken:
		return s.refreshGrant(w, r, f, who)
	case grantTokenExchange:
		return s.exchangeToken(w, r, f, who)
	default:
		return "invalid", &Problem{Status: http.StatusBadRequest, Code: CodeUnsupportedGrant, Title: "This grant_type is not supported",
			Detail: "supported are refresh_token and " + grantTokenExchange}
	}
}

// refreshGrant is /auth/refresh for clients that speak OAuth (RFC 6749, section 6).
func (s *Service) refreshGrant(w http.ResponseWriter, r *http.Request, f form, who caller) (string, *Problem) {
	text := f.get("refresh_token")
	if text.Empty() {
		return "invalid", badRequest("refresh_token is needed")
	}
	if p := refuseScope(f); p != nil {
		return "invalid", p
	}
	return s.renew(w, r, text, who.ID)
}

// refuseScope refuses what an answer could not honour: access is decided by role and route, not by scope.
func refuseScope(f form) *Problem {
	if f.get("scope").Empty() {
		return nil
	}
	return &Problem{Status: http.StatusBadRequest, Code: CodeInvalidScope, Title: "There are no scopes here", Detail: "leave scope out"}
}

// checkExchange refuses what an exchange cannot honour, before anything is counted or verified. The audiences are nil
// for all of the policy.
func checkExchange(f form, doc *Document) ([]string, *Problem) {
	switch {
	case f.get("subject_token").Empty() || f.get("subject_token_type").Empty():
		return nil, badRequest("subject_token and subject_token_type are needed")
	case !f.get("actor_token").Empty() || !f.get("actor_token_type").Empty():
		return nil, badRequest("there is no delegation here: leave actor_token and actor_token_type out")
	}
	if wanted := f.get("requested_token_type"); !wanted.Empty() && wanted.Reveal() != typeAccessToken {
		return nil, badRequest("requested_token_type can be " + typeAccessToken + " only")
	}
	if p := refuseScope(f); p != nil {
		return nil, p
	}
	target := &Problem{Status: http.StatusBadRequest, Code: CodeInvalidTarget, Title: "There are no tokens for this target", Detail: "audience must be one of the token policy; resource is not supported"}
	if len(f["resource"]) > 0 {
		return nil, target
	}
	var audience []string
	for _, a := range f["audience"] {
		name := a.Reveal()
		if !slices.Contains(doc.Access.Audiences, name) {
			return nil, target
		}
		if !slices.Contains(audience, name) {
			audience = append(audience, name)
		}
	}
	return audience, nil
}

// exchangeToken trades a token that another issuer made for a token of ours (RFC 8693). The subject token is a bearer
// token: until it expires, whoever has it may show it as often as the limit allows.
func (s *Service) exchangeToken(w http.ResponseWriter, r *http.Request, f form, who caller) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	audience, p := checkExchange(f, m.doc)
	if p != nil {
		return "invalid", p
	}
	from, trusted := clientAddress(r, m.doc.TrustedProxies)
	if !trusted {
		s.strangers.note(from, m.now)
	}
	if result, p := s.limitExchange(w, r, m, who, from); p != nil {
		return result, p
	}
	user, err := m.doc.exchange.Exchange(r.Context(), f.get("subject_token_type").Reveal(), f.get("subject_token"), m.now)
	switch {
	case errors.Is(err, identity.ErrTokenType):
		return "invalid", badRequest(err.Error())
	case errors.Is(err, identity.ErrDenied):
		s.auditExchange(identity.DenialReason(err), from, m.now)
		return "denied", subjectRefused()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled", unavailable(CodeBusy, "The request took too long")
	case err != nil:
		s.Log.Error("identity_unavailable", "error", err.Error())
		return "unavailable", unavailable(CodeIdentityDown, "The token cannot be checked at this moment")
	}
	m.client, m.audience = who.ID, audience
	return s.exchanged(w, r, m, user, from)
}

func subjectRefused() *Problem {
	return &Problem{Status: http.StatusBadRequest, Code: CodeSubjectTokenInvalid, Title: "The subject token is not accepted",
		Detail: "it is of an issuer, an audience or an account that is not let in, or it has expired, or it is not of the type that subject_token_type says"}
}

// auditExchange notes an exchange that was refused, as often as refused logins are noted.
func (s *Service) auditExchange(reason identity.Reason, from netip.Addr, now time.Time) {
	if write, dropped := s.denials.take(now); write {
		s.Log.Info("exchange", "result", "denied", "reason", reason, "client", from.String(), "lines_dropped", dropped)
	}
}

func (s *Service) limitExchange(w http.ResponseWriter, r *http.Request, m mint, who caller, from netip.Addr) (string, *Problem) {
	limit, where := m.doc.LoginLimit.Limit*exchangesPerLogin, place(from)
	if who.known {
		limit, where = limit*exchangesPerLogin, "of "+who.ID
	}
	return s.limitOAuth(w, r, "exchange", where, min(limit, maxExchanges), m.doc.LoginLimit.Window.Std(), m.now)
}

// exchanged makes a family, so that the session can be ended, and the tokens. Nobody gets the family's refresh token
// who could ask for another token as well (a workload), or whose next tokens would be for more audiences than this one.
// Such a family lives as long as its access token and takes nobody's place.
func (s *Service) exchanged(w http.ResponseWriter, r *http.Request, m mint, user identity.User, from netip.Addr) (string, *Problem) {
	limits, renewable := m.doc.limits(), user.Refreshable && (m.audience == nil || len(m.audience) == len(m.doc.Access.Audiences))
	if !renewable {
		life := m.expires.Sub(m.now)
		limits.Idle, limits.Absolute, limits.RetryWindow, limits.MaxFamilies = life, life, 0, 0
	}
	if p := s.measure(m, user); p != nil {
		return "error", p
	}
	created, err := s.Families.Create(r.Context(), store.NewFamily{
		Owner: m.owner(user),
		Now:   m.now, Limits: limits, AccessExpiry: m.expires,
	})
	if err != nil {
		return "unavailable", s.storeFailed("create", err)
	}
	s.metrics.evicted.Add(float64(created.Evicted))
	access, p := s.sign(m, user, created.Family.SessionID)
	if p != nil {
		s.abandon(r, m, created)
		return "error", p
	}
	answer := struct {
		AccessToken      string `json:"access_token"`
		IssuedTokenType  string `json:"issued_token_type"`
		TokenType        string `json:"token_type"`
		ExpiresIn        int64  `json:"expires_in"`
		RefreshToken     string `json:"refresh_token,omitempty"`
		RefreshExpiresIn int64  `json:"refresh_expires_in,omitempty"`
	}{AccessToken: access.Reveal(), IssuedTokenType: typeAccessToken, TokenType: "Bearer", ExpiresIn: int64(m.expires.Sub(m.now) / time.Second)}
	if renewable {
		answer.RefreshToken = created.Token.Text().Reveal()
		answer.RefreshExpiresIn = int64(created.Family.Expiry().Sub(m.now) / time.Second)
	}
	s.Log.Info("exchange", "result", "ok", "user", user.Subject, "sid", created.Family.SessionID, "client", from.String(), "client_id", cmp.Or(m.client, webClient))
	writeJSON(w, answer)
	return "ok", nil
}
