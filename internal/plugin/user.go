package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// SetUserOptions are the flags of `user set`.
type SetUserOptions struct {
	UserScope
	Name string
	// Role is nil to leave it, empty to take it away.
	Role *string
	// AskPassword asks also where only the role would change.
	AskPassword bool
	// Create makes the Secret if there is none.
	Create    bool
	Passwords Passwords
}

// errUnchanged ends an edit that has nothing to write.
var errUnchanged = errors.New("nothing to change")

// SetUser adds a user, or changes the password or the role of one. The password is asked for before anything is written, and
// hashed once.
func (s *Session) SetUser(ctx context.Context, o SetUserOptions) error {
	if o.Role != nil {
		if err := checkRole(*o.Role); err != nil {
			return err
		}
	}
	from, err := s.one(ctx, o.UserScope)
	if err != nil {
		return err
	}
	stored, err := s.secretOf(ctx, from)
	create := apierrors.IsNotFound(err) && o.Create
	if create {
		stored, err = s.newSecret(from), nil
	}
	if err != nil {
		return err
	}
	account, err := accountOf(o.Name, list(stored.Data[usersKey]), list(stored.Data[rolesKey]))
	if err != nil {
		return err
	}
	isNew := len(list(stored.Data[usersKey]).of(account)) == 0
	var hash *secret.Text
	if isNew || o.Role == nil || o.AskPassword {
		if hash, err = s.newHash(account, o.Passwords); err != nil {
			return err
		}
	}
	edit := func(stored *corev1.Secret) error { return setUser(stored, o.Name, account, hash, o.Role) }
	if create {
		err = s.createSecret(ctx, stored, edit)
	} else {
		err = s.editSecret(ctx, from, edit)
	}
	if err != nil {
		return err
	}
	if o.Name != account && isNew {
		s.note("note: the name is stored as %s, the form in which names are compared (NFKC)", clean(account))
	}
	s.reportSet(from, account, isNew, hash != nil, o.Role)
	return nil
}

func (s *Session) newHash(account string, from Passwords) (*secret.Text, error) {
	password, err := from.New(account)
	if err != nil {
		return nil, err
	}
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	if why := weakness(account, password); why != "" {
		s.note("warning: the password %s", why)
	}
	hash := hashOf(password)
	return &hash, nil
}

// setUser edits the two lists of a Secret. hash and role are nil to leave them. It is tried again on another state of the
// Secret, so it checks the name each time.
func setUser(stored *corev1.Secret, name, account string, hash *secret.Text, role *string) error {
	users, roles := list(stored.Data[usersKey]), list(stored.Data[rolesKey])
	if _, err := accountOf(name, users, roles); err != nil {
		return err
	}
	var err error
	if hash != nil {
		if users, err = users.put(account, hash.Reveal()); err != nil {
			return err
		}
	}
	switch {
	case hash == nil && len(users.of(account)) == 0:
		return fmt.Errorf("the user %s was removed by somebody else meanwhile: try again", name)
	case role == nil:
	case *role == "":
		roles = roles.remove(account)
	default:
		if roles, err = roles.put(account, " "+*role); err != nil {
			return err
		}
	}
	return replace(stored, users, roles)
}

// replace writes the lists back, unless the token service took the old ones and would refuse the new ones.
func replace(stored *corev1.Secret, users, roles list) error {
	if users == list(stored.Data[usersKey]) && roles == list(stored.Data[rolesKey]) {
		return errUnchanged
	}
	if err := refusal(users, roles); err != nil && refusal(list(stored.Data[usersKey]), list(stored.Data[rolesKey])) == nil {
		return fmt.Errorf("the token service would refuse the list: %w", err)
	}
	if stored.Data == nil {
		stored.Data = map[string][]byte{}
	}
	stored.Data[usersKey] = []byte(users)
	if _, had := stored.Data[rolesKey]; had || roles != "" {
		stored.Data[rolesKey] = []byte(roles)
	}
	return nil
}

// refusal says why the token service would not take these lists; nil if it would. An empty list of users is fine.
func refusal(users, roles list) error {
	if strings.TrimSpace(string(users)) == "" {
		users = "#"
	}
	_, err := identity.New("", []snapshot.IdentitySource{{
		Name: "list", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(string(users)), Roles: string(roles)},
	}}, nil, identity.NewHasher(1, 0))
	if wrapped := errors.Unwrap(err); wrapped != nil {
		return wrapped // without the name of the source, which is made up
	}
	return err
}

func (s *Session) reportSet(from source, account string, isNew, password bool, role *string) {
	var what []string
	if isNew {
		what = append(what, "added")
	} else if password {
		what = append(what, "password changed")
	}
	switch {
	case role == nil:
	case *role == "":
		what = append(what, "no role")
	default:
		what = append(what, "role "+*role)
	}
	if subs := from.subjects(account); len(subs) > 0 {
		what = append(what, "sub "+strings.Join(subs, " or "))
	}
	s.note("user %s in Secret %s/%s: %s", clean(account), s.Namespace, from.secret, clean(strings.Join(what, ", ")))
	if len(from.uses) == 0 {
		s.note("warning: no TokenService of this namespace reads that Secret")
		return
	}
	s.note("In force when the kubelet has refreshed the mounted Secret: within about a minute.")
}

// RemoveUser takes a user and the role out.
func (s *Session) RemoveUser(ctx context.Context, scope UserScope, name string) error {
	from, err := s.one(ctx, scope)
	if err != nil {
		return err
	}
	err = s.editSecret(ctx, from, func(stored *corev1.Secret) error {
		users, roles := list(stored.Data[usersKey]), list(stored.Data[rolesKey])
		account, err := accountOf(name, users, roles)
		if err != nil {
			return err
		}
		if len(users.of(account))+len(roles.of(account)) == 0 {
			return s.noUser(from, name, users)
		}
		return replace(stored, users.remove(account), roles.remove(account))
	})
	if err != nil {
		return err
	}
	s.note("user %s removed from Secret %s/%s", clean(name), s.Namespace, from.secret)
	if len(from.uses) > 0 {
		s.note("In force when the kubelet has refreshed the mounted Secret, within about a minute: no log-in and no refresh after that.\n" +
			"An access token that is out already stays good until it expires.")
	}
	return nil
}

func (s *Session) noUser(from source, name string, users list) error {
	var names []string
	for _, e := range users.entries() {
		names = append(names, e.name)
	}
	slices.Sort(names)
	const most = 12
	t := &Trouble{What: fmt.Sprintf("there is no user %s in Secret %s/%s", clean(name), s.Namespace, from.secret), Mend: "it has: " + strings.Join(names[:min(len(names), most)], ", ")}
	if len(names) > most {
		t.Mend += fmt.Sprintf(", and %d more: kubectl keyturn user list", len(names)-most)
	}
	if len(names) == 0 {
		t.Mend = "it has no users"
	}
	return t
}

// editSecret reads, edits and writes, and does it again when somebody else wrote meanwhile.
func (s *Session) editSecret(ctx context.Context, from source, edit func(*corev1.Secret) error) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		stored, err := s.secretOf(ctx, from)
		if err != nil {
			return err
		}
		if stored.Immutable != nil && *stored.Immutable {
			return &Trouble{What: fmt.Sprintf("the Secret %s/%s is immutable", s.Namespace, from.secret), Mend: "make a new one, and let the TokenService refer to that"}
		}
		if err := edit(stored); err != nil {
			return err
		}
		return s.Client.Update(ctx, stored)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}
