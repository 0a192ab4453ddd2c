package tokenhttp

import (
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/store"
)

// revokeToken answers /auth/revoke (RFC 7009): what a logout does, for a client and a token of its audiences. It ends the
// whole session, since the tokens of one belong together (section 2.1). A token that is unknown, damaged or not the
// client's business is answered as if it were gone already, without effect (section 2.2). The hint is not needed: the two
// kinds of tokens look different.
func (s *Service) revokeToken(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	now := s.Now()
	doc := s.Document()
	if doc == nil {
		return "not_ready", errNotReady
	}
	f, p := readForm(w, r)
	if p != nil {
		return "invalid", p
	}
	who, result, p := s.authenticate(w, r, doc, f, now)
	if p != nil {
		return result, p
	}
	text := f.get("token")
	if text.Empty() {
		return "invalid", badRequest("token is needed")
	}
	var found credentials
	if strings.HasPrefix(text.Reveal(), store.TokenPrefix) {
		if who.sees(doc.Access.Audiences) {
			if p := s.resolveRefresh(r.Context(), text, now, &found); p != nil {
				return "unavailable", p
			}
		}
	} else if v := doc.verifier.VerifyExpired(now, text.Reveal()); v.Outcome == policy.Valid && who.sees(v.Claims.Audience) {
		found.addAccess(doc, now, text)
	}
	return s.revoke(w, r, doc, now, found.sessions)
}
