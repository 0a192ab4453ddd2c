package identity

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxAccountLife is how long a ServiceAccount token may live: what can be exchanged is soon worth nothing.
const maxAccountLife = time.Hour

var (
	namespaceForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	accountForm   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
)

// cluster is a source of ServiceAccounts, verified by keys from the snapshot. It asks nobody, so a deleted account is
// good until its token expires: an hour at most.
type cluster struct {
	noPasswords
	audience string
	keys     *keySet
	accounts []snapshot.ServiceAccount
}

func newKubernetes(audience string, k *snapshot.Kubernetes) (*cluster, error) {
	if audience == "" || k.Issuer == "" {
		return nil, errors.New("kubernetes needs the issuer of the cluster, and that of this service as the audience")
	}
	keys, err := readKeySet(k.JWKS)
	if err != nil {
		return nil, fmt.Errorf("kubernetes.jwks: %w", err)
	}
	for _, a := range k.Accounts {
		if !namespaceForm.MatchString(a.Namespace) || a.Name != "" && !accountForm.MatchString(a.Name) || a.Role != "" && !saidRole.MatchString(a.Role) {
			return nil, fmt.Errorf("kubernetes.accounts: %.80q/%.80q needs the names of a namespace and of a ServiceAccount or none, and a role or none", a.Namespace, a.Name)
		}
	}
	return &cluster{audience: audience, keys: keys, accounts: k.Accounts}, nil
}

// lookup: nobody of a cluster has a session here.
func (*cluster) lookup(context.Context, User) (User, error) { return User{}, ErrGone }

func (k *cluster) exchange(ctx context.Context, t *subjectToken, now time.Time) (User, error) {
	audiences, err := t.audiences()
	if err != nil {
		return User{}, err
	}
	if !slices.Contains(audiences, k.audience) {
		return User{}, deny(WrongAudience)
	}
	issued, expires, err := t.times(now)
	if err != nil {
		return User{}, err
	}
	if expires.Sub(issued) > maxAccountLife {
		return User{}, deny(LifetimeTooLong)
	}
	namespace, name, err := account(t.payload)
	if err != nil {
		return User{}, err
	}
	first := slices.IndexFunc(k.accounts, func(a snapshot.ServiceAccount) bool {
		return a.Namespace == namespace && (a.Name == "" || a.Name == name)
	})
	if first < 0 {
		return User{}, deny(NotAllowed)
	}
	keys := k.keys.candidates(t)
	if len(keys) == 0 {
		return User{}, deny(UnknownKey)
	}
	if err := verify(ctx, t, keys, k.audience, now); err != nil {
		return User{}, err
	}
	return User{Name: namespace + "/" + name, Role: k.accounts[first].Role}, nil
}

// account reads who the token is for, which it says twice: in `sub`, and in the claim that only a bound token has.
func account(payload object) (namespace, name string, err error) {
	subject, ok := payload.Text("sub")
	if !ok {
		return "", "", deny(MissingClaim)
	}
	bound, ok := payload.Object("kubernetes.io")
	if !ok {
		return "", "", deny(MissingClaim)
	}
	namespace, _ = bound.Text("namespace")
	inner, _ := bound.Object("serviceaccount")
	name, _ = inner.Text("name")
	if !namespaceForm.MatchString(namespace) || !accountForm.MatchString(name) ||
		subject != strings.Join([]string{"system", "serviceaccount", namespace, name}, ":") {
		return "", "", deny(BadSubject)
	}
	return namespace, name, nil
}
