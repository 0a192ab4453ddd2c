package tokenhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// Revocations knows what is distrusted, as an edge does.
type Revocations interface {
	// Revoked tells whether a verified credential is distrusted.
	Revoked(credential revocation.Credential) bool
	// Loaded is false until the complete list has been read: until then Revoked knows nothing.
	Loaded() bool
	RevocationNumbers
}

// RevocationNumbers say how far the knowledge reaches, and what it says about who has no number. See [revocation.List].
type RevocationNumbers interface {
	Applied() uint64
	UserBefore(user string) uint64
}

// introspect answers /auth/introspect (RFC 7662). A token that is not good and one that is not the client's business are
// answered alike.
func (s *Service) introspect(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	about, result, p := s.questionOf(w, r)
	if p != nil {
		return result, p
	}
	now, doc, who, text := about.now, about.doc, about.who, about.token
	var facts map[string]any
	if strings.HasPrefix(text.Reveal(), store.TokenPrefix) {
		facts, p = s.refreshFacts(r, doc, who, text, now)
	} else {
		facts, p = s.accessFacts(doc, who, text, now)
	}
	if p != nil {
		return "unavailable", p
	}
	if facts == nil {
		writeJSON(w, map[string]bool{"active": false})
		return "inactive", nil
	}
	facts["active"], facts["iss"] = true, doc.Header.Issuer
	writeJSON(w, facts)
	return "active", nil
}

// accessFacts are what an access token says, nil unless it is good at this moment. The clock is the issuer's own, so no
// skew is allowed for.
func (s *Service) accessFacts(doc *Document, who caller, text secret.Text, now time.Time) (map[string]any, *Problem) {
	v := doc.verifier.Verify(now, text.Reveal())
	if v.Outcome != policy.Valid || !now.Before(v.Claims.ExpiresAt) || !who.sees(v.Claims.Audience) {
		return nil, nil
	}
	if s.Revocations == nil || !s.Revocations.Loaded() {
		return nil, unavailable(CodeNotReady, "The revocations are not known yet")
	}
	c := v.Claims
	if s.Revocations.Revoked(revocation.Credential{SessionID: c.SessionID, User: c.Subject, KID: v.KID, TokenID: c.ID}) {
		return nil, nil
	}
	facts := map[string]any{}
	for name, value := range c.Custom {
		facts[name] = value
	}
	for name, value := range map[string]any{
		"token_type": "Bearer", "sub": c.Subject, "aud": c.Audience, "exp": c.ExpiresAt.Unix(), "iat": c.IssuedAt.Unix(),
		"jti": c.ID, "client_id": c.ClientID,
	} {
		facts[name] = value
	}
	if c.SessionID != "" {
		facts["sid"] = c.SessionID
	}
	return facts, nil
}

// refreshFacts are what the store knows of a refresh token, nil unless it is the live one. Its token_type keeps a
// resource server from taking it for an access token.
func (s *Service) refreshFacts(r *http.Request, doc *Document, who caller, text secret.Text, now time.Time) (map[string]any, *Problem) {
	presented, err := store.ParseToken(text)
	if err != nil || !who.sees(doc.Access.Audiences) {
		return nil, nil
	}
	seen, err := s.Families.Inspect(r.Context(), presented, now, 0)
	if err != nil {
		return nil, s.storeFailed("inspect", err)
	}
	if seen.Outcome != store.Rotated {
		return nil, nil
	}
	family := seen.Family
	client := family.Client
	if client == "" {
		client = webClient
	}
	return map[string]any{
		"token_type": "refresh_token", "sub": family.Subject, "aud": doc.Access.Audiences, "exp": family.Expiry().Unix(),
		"iat": family.LastUsed.Unix(), "client_id": client, "sid": family.SessionID,
	}, nil
}
