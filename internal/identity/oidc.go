package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// maxIDTokenAge is how long after its `iat` an ID token is taken. That bounds a replay: nothing else does, because the
// nonce is between the application and its provider and cannot be checked here.
const maxIDTokenAge = time.Hour

// openID is a source that takes ID tokens of an OpenID Connect provider.
type openID struct {
	noPasswords
	snapshot.OIDC
	provider *provider
}

func newOIDC(c snapshot.IdentitySource, next *opening) (*openID, error) {
	if next.sources == nil {
		return nil, errors.New("an OpenID Connect provider needs a place for its keys")
	}
	if err := webhook.CheckURL(c.OIDC.IssuerURL, false); err != nil {
		return nil, fmt.Errorf("oidc.issuerURL %w", err)
	}
	if c.OIDC.ClientID == "" {
		return nil, errors.New("oidc.clientID is missing")
	}
	for what, name := range map[string]string{"subjectClaim": c.OIDC.SubjectClaim, "roleClaim": c.OIDC.RoleClaim} {
		if name != "" && !claimForm.MatchString(name) {
			return nil, fmt.Errorf("oidc.%s must be the name of a claim", what)
		}
	}
	// The keys depend on the provider only.
	key, err := json.Marshal([]string{c.Name, c.OIDC.IssuerURL})
	if err != nil {
		return nil, err
	}
	kept := next.keep("oidc/"+string(key), func(s *Sources) runner { return openProvider(s, c.Name, c.OIDC.IssuerURL) })
	source := &openID{OIDC: *c.OIDC, provider: kept.(*provider)}
	if source.SubjectClaim == "" {
		source.SubjectClaim = "sub"
	}
	return source, nil
}

// lookup returns what was kept: a provider cannot be asked about a user.
func (*openID) lookup(_ context.Context, known User) (User, error) {
	return User{Name: known.Name, Role: known.Role, Claims: known.Claims, Refreshable: true, Remembered: true}, nil
}

func (o *openID) exchange(ctx context.Context, t *subjectToken, now time.Time) (User, error) {
	if err := o.checkParties(t); err != nil {
		return User{}, err
	}
	issued, _, err := t.times(now)
	if err != nil {
		return User{}, err
	}
	if now.Sub(issued) > maxIDTokenAge {
		return User{}, deny(TooOld)
	}
	user, err := o.user(t.payload)
	if err != nil {
		return User{}, err
	}
	keys, err := o.provider.find(ctx, t)
	if err != nil {
		return User{}, err
	}
	return user, verify(ctx, t, keys, o.ClientID, now)
}

// checkParties asks for whom the token was made (OpenID Connect Core 1.0, section 3.1.3.7).
func (o *openID) checkParties(t *subjectToken) error {
	audiences, err := t.audiences()
	if err != nil {
		return err
	}
	if !slices.Contains(audiences, o.ClientID) {
		return deny(WrongAudience)
	}
	_, given := t.payload["azp"]
	party, _ := t.payload.Text("azp")
	if (given || len(audiences) > 1) && party != o.ClientID {
		return deny(ForeignParty)
	}
	// A logout token has events; some providers' access and refresh tokens say so in a claim and not in the header.
	if _, given := t.payload["events"]; given {
		return deny(WrongType)
	}
	if _, given := t.payload["typ"]; given {
		if typ, _ := t.payload.Text("typ"); !strings.EqualFold(typ, "ID") {
			return deny(WrongType)
		}
	}
	return nil
}

func (o *openID) user(payload object) (User, error) {
	if subject, ok := payload.Text("sub"); !ok || subject == "" {
		return User{}, deny(MissingClaim) // it is in every ID token
	}
	user := User{Refreshable: true, Remembered: true}
	user.Name, _ = payload.Text(o.SubjectClaim)
	if !IsID(user.Name) {
		return User{}, deny(BadSubject)
	}
	if o.SubjectClaim == "email" {
		// At many providers everybody can claim any address.
		if !saysTrue(payload["email_verified"]) {
			return User{}, deny(Unverified)
		}
	}
	role, err := o.role(payload)
	if err != nil {
		return User{}, err
	}
	user.Role, user.Claims = role, pickClaims(payload)
	return user, nil
}

// role is the claim's text, or the first of its list; absent, null and the empty list are no role.
func (o *openID) role(payload object) (string, error) {
	raw := string(payload[o.RoleClaim])
	if o.RoleClaim == "" || raw == "" || raw == "null" {
		return "", nil
	}
	all, ok := payload.Texts(o.RoleClaim)
	if !ok {
		return "", deny(BadRole)
	}
	if len(all) == 0 || all[0] == "" {
		return "", nil
	}
	if !IsRole(all[0]) {
		return "", deny(BadRole)
	}
	return all[0], nil
}
