package tokenhttp

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/token"
)

// webClient is the client_id of tokens that a login made: RFC 9068 requires one.
const webClient = "keyturn-web"

// defaultClaimBytes bounds custom claims where the document says nothing.
const defaultClaimBytes = 1024

// mint is one token in the making: an instant and the document that was in force then or later.
type mint struct {
	now, expires time.Time
	doc          *Document
	client       string   // client_id; empty means webClient
	audience     []string // nil means all of the policy
	byCookie     bool     // the answer is cookies
}

// begin reads the clock first and the document second; see the package comment.
func (s *Service) begin() (mint, *Problem) {
	now := s.Now()
	doc := s.Document()
	if doc == nil || doc.signer == nil {
		return mint{}, errNotReady
	}
	return mint{now: now, expires: now.Add(doc.Access.TTL.Std()).Truncate(time.Second), doc: doc}, nil
}

// until makes the access token end with the session that it comes of, unless that has no end. It returns false where less
// than a second is left.
func (m *mint) until(end time.Time) bool {
	if !end.IsZero() && end.Before(m.expires) {
		m.expires = end.Truncate(time.Second)
	}
	return m.expires.Sub(m.now) >= time.Second
}

// measure refuses claims that no token may have. It comes before a family is made: one that gets no token would stay for
// nobody.
func (s *Service) measure(m mint, user identity.User) *Problem {
	bound := m.doc.Access.MaxClaimBytes
	if bound <= 0 {
		bound = defaultClaimBytes
	}
	if raw, err := json.Marshal(custom(m.doc.Access.Claims, user)); err != nil || len(raw) > bound {
		s.Log.Error("claims_too_large", "limit", bound, "bytes", len(raw))
		return errInternal
	}
	return nil
}

func (s *Service) sign(m mint, user identity.User, sessionID string) (secret.Text, *Problem) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	if m.audience == nil {
		m.audience = m.doc.Access.Audiences
	}
	claims := token.Claims{
		Issuer: m.doc.Header.Issuer, Subject: user.Subject, Audience: m.audience,
		IssuedAt: m.now, ExpiresAt: m.expires,
		ID: base64.RawURLEncoding.EncodeToString(id[:]), ClientID: cmp.Or(m.client, webClient), SessionID: sessionID,
		Custom: custom(m.doc.Access.Claims, user),
	}
	s.ledger.note(m.doc.signer.KID(), m.expires)
	signed, err := m.doc.signer.Sign(claims)
	if err != nil {
		s.Log.Error("signing_failed", "kid", m.doc.signer.KID(), "error", err.Error())
		return secret.Text{}, errInternal
	}
	if m.byCookie && !fitsCookie(signed) {
		s.Log.Error("token_too_large_for_cookie", "bytes", len(signed.Reveal()))
		return secret.Text{}, errInternal
	}
	return signed, nil
}

// custom are the allowed claims that have a value.
func custom(allowed []string, user identity.User) map[string]string {
	claims := known(allowed, user.Claims)
	for name, value := range map[string]string{"user_id": user.Subject, "role": user.Role} {
		delete(claims, name) // no source says these
		if value != "" && slices.Contains(allowed, name) {
			claims[name] = value
		}
	}
	return claims
}

// known are those of the claims that are allowed and have a value.
func known(allowed []string, claims map[string]string) map[string]string {
	some := map[string]string{}
	for _, name := range allowed {
		if value := claims[name]; value != "" {
			some[name] = value
		}
	}
	return some
}

// owner is what a family keeps of a user: role and claims only if the source cannot be asked for them again.
func (m mint) owner(user identity.User) store.Owner {
	o := store.Owner{Subject: user.Subject, Name: user.Name, Source: user.Source, Client: m.client}
	if user.Remembered {
		o.Role, o.Claims = user.Role, known(m.doc.Access.Claims, user.Claims)
	}
	return o
}

// kept is the user as the family knows them.
func kept(o store.Owner) identity.User {
	return identity.User{Subject: o.Subject, Name: o.Name, Source: o.Source, Role: o.Role, Claims: o.Claims}
}

// writePair is the only place where tokens leave: in the body, or in cookies.
func (s *Service) writePair(w http.ResponseWriter, m mint, access secret.Text, refresh store.Token, family store.Family) {
	if m.byCookie {
		writeCookies(w, m, access, refresh, family)
		return
	}
	writeJSON(w, struct {
		AccessToken      string `json:"access_token"`
		TokenType        string `json:"token_type"`
		ExpiresIn        int64  `json:"expires_in"`
		RefreshToken     string `json:"refresh_token"`
		RefreshExpiresIn int64  `json:"refresh_expires_in"`
	}{access.Reveal(), "Bearer", int64(m.expires.Sub(m.now) / time.Second), refresh.Text().Reveal(), int64(family.Expiry().Sub(m.now) / time.Second)})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // the client is gone if this fails
}

// abandon ends a family whose tokens could not be made: nobody has them.
func (s *Service) abandon(r *http.Request, m mint, created store.Created) {
	_, err := s.Sessions.RevokeSession(r.Context(), store.Revoke{SessionID: created.Family.SessionID, Now: m.now, Retention: m.doc.retention()})
	if err != nil {
		_ = s.storeFailed("revoke", err) // it ends by itself
	}
}
