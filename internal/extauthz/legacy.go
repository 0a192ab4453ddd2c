package extauthz

import (
	"context"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/steering"
)

// How long a request waits for what its legacy session is worth. Beside a valid token the question is only whether the
// session is another user's: a slow answer must not slow down those who have moved. answerMargin is what is left of the
// caller's own deadline for the way back, so that a proxy hears 503 from the edge and does not make up its own answer.
const (
	aloneWait    = feed.AskWithin + 100*time.Millisecond
	besideWait   = 100 * time.Millisecond
	answerMargin = 50 * time.Millisecond
)

// judged is what the credentials of a request are worth together, with what is counted and announced beside it.
type judged struct {
	policy.Credential
	// user is whose request it is as far as that is known, also where it is refused. It authorizes nothing.
	user string
	// other is the user of the session where the token is another user's.
	other string
	// announce: the answer tells that legacy sessions end.
	announce bool
}

// judge looks at all credentials. Without a rollout, and without a legacy session, it is [Authorizer.credential] and
// nothing else.
//
// What the policy does not accept is not looked at: neither is a session asked about where only tokens are accepted, nor
// does a bad token refuse a request where only sessions are.
func (a *Authorizer) judge(ctx context.Context, edge *Edge, p *access, q question, now time.Time) judged {
	jwt := policy.Credential{Outcome: policy.Absent, Reason: policy.NoCredential}
	if p.AcceptJWT {
		jwt = a.credential(edge, p, q, now)
	}
	j := judged{Credential: jwt}
	if jwt.Outcome == policy.Valid {
		j.user = jwt.User
	}
	if edge.steering == nil || !p.AcceptSession || len(q.page.cookies) == 0 || !policy.SessionMatters(jwt.Outcome) {
		return j
	}
	cookie, err := edge.steering.Session(q.page.cookies)
	if err == nil && cookie.Empty() {
		return j
	}
	session := a.session(ctx, edge.steering, cookie, err, jwt.Outcome, now)
	if !edge.tellRole {
		session.Role = ""
	}
	j.Credential = policy.WithSession(jwt, session.Credential)
	switch {
	case j.user == "":
		j.user = session.user
	case j.Reason == policy.ConflictingCredentials:
		j.other = session.User
	}
	j.announce = session.announce && jwt.Outcome != policy.Valid
	return j
}

// session tells what a legacy session is worth beside a token of that outcome. refusal is why its cookie cannot be read.
//
// The rule about pages of other sites is not for it: whether such a page may act by the application's own cookie is for
// the application to say, as it always was.
func (a *Authorizer) session(ctx context.Context, s *steering.Steering, cookie secret.Text, refusal error, jwt policy.Outcome, now time.Time) judged {
	refused := func(reason policy.Reason) judged {
		return judged{Credential: policy.Credential{Outcome: policy.Invalid, Reason: reason}}
	}
	rules := s.Rules()
	if rules.Schedule.Stage(now) == rollout.Sunset {
		return refused(policy.LegacySunset)
	}
	if refusal != nil {
		if errors.Is(refusal, steering.ErrDoubled) {
			return refused(policy.MultipleCredentials)
		}
		return refused(policy.LegacyInvalid)
	}
	hash := revocation.LegacyHash(cookie.Reveal())
	acceptance := rules.Edge(now, hash)
	if !acceptance.Accepted {
		j := refused(policy.LegacySunset)
		if acceptance.Brownout {
			j.Reason = policy.LegacyBrownout
		}
		j.announce = acceptance.Announce
		return j
	}
	j := a.ask(ctx, hash, cookie, jwt)
	j.announce = acceptance.Announce && j.Outcome == policy.Valid
	return j
}

// ask tells what the session is worth to those who know. Its revocation counts at once, also while the question is on
// its way and whatever the last answer was.
func (a *Authorizer) ask(ctx context.Context, hash string, cookie secret.Text, jwt policy.Outcome) judged {
	revoked := func() bool { return a.revocations.List().Revoked(revocation.Credential{Legacy: hash}) }
	over := judged{Credential: policy.Credential{Outcome: policy.Revoked, Reason: policy.ReasonRevoked}}
	if revoked() {
		return over
	}
	wait := aloneWait
	if jwt == policy.Valid {
		wait = besideWait
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		wait = min(wait, time.Until(deadline)-answerMargin)
	}
	v, err := a.sessions.of(ctx, hash, cookie, wait)
	switch {
	case revoked():
		return over
	case err != nil:
		return judged{Credential: policy.Credential{Outcome: policy.Unknown, Reason: policy.LegacyUnavailable}, user: v.user}
	case !v.valid || !v.expires.IsZero() && !a.now().Before(v.expires):
		return judged{Credential: policy.Credential{Outcome: policy.Invalid, Reason: policy.LegacyInvalid}}
	}
	return judged{Credential: policy.Credential{Outcome: policy.Valid, User: v.user, Role: v.role}, user: v.user}
}
