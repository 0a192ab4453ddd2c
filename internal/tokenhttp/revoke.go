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
	about, result, p := s.questionOf(w, r)
	if p != nil {
		return result, p
	}
	now, doc, who, text := about.now, about.doc, about.who, about.token
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
