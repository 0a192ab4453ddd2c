package plugin

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UsersReport is what `user list` prints for machines. It has no hash.
type UsersReport struct {
	Lists []UserList `json:"lists"`
}

// UserList is one Secret.
type UserList struct {
	Namespace string       `json:"namespace"`
	Secret    string       `json:"secret"`
	ReadBy    string       `json:"readBy"`
	Users     []UserReport `json:"users"`
	// Refused says why the token service does not take the list; empty if it does.
	Refused string `json:"refused,omitempty"`
	// Strays are names with a role and no password.
	Strays []string `json:"strays,omitempty"`
}

// UserReport is one user.
type UserReport struct {
	Name     string   `json:"name"`
	Role     string   `json:"role,omitempty"`
	Subjects []string `json:"subjects"`
	// Hash is the kind of the password's hash.
	Hash string `json:"hash"`
}

// ListUsers prints the users of every list of a scope.
func (s *Session) ListUsers(ctx context.Context, scope UserScope) error {
	found, err := s.sources(ctx, scope)
	if err != nil {
		return err
	}
	report := UsersReport{Lists: []UserList{}}
	for _, from := range found {
		stored, err := s.secretOf(ctx, from)
		if err != nil {
			return err
		}
		report.Lists = append(report.Lists, newUserList(from, stored))
	}
	return s.print(report, func() string { return drawUsers(s.Screen, &report) })
}

func newUserList(from source, stored *corev1.Secret) UserList {
	users, roles := list(stored.Data[usersKey]), list(stored.Data[rolesKey])
	l := UserList{Namespace: stored.Namespace, Secret: stored.Name, ReadBy: from.readBy(), Users: []UserReport{}}
	if err := refusal(users, roles); err != nil {
		l.Refused = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	known := map[string]bool{}
	roleOf := map[string]string{}
	for _, e := range roles.entries() {
		roleOf[e.account] = strings.TrimSpace(e.value)
	}
	for _, e := range users.entries() {
		known[e.account] = true
		l.Users = append(l.Users, UserReport{Name: e.name, Role: roleOf[e.account], Subjects: from.subjects(e.account), Hash: hashKind(e.value)})
	}
	for _, e := range roles.entries() {
		if !known[e.account] {
			l.Strays = append(l.Strays, e.name)
		}
	}
	return l
}

func drawUsers(s Screen, r *UsersReport) string {
	var b strings.Builder
	for i := range r.Lists {
		l := &r.Lists[i]
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s  %s, %s\n", s.paint(strong, "Secret "+l.Namespace+"/"+l.Secret), count(len(l.Users), "user"), clean(l.ReadBy))
		if l.Refused != "" {
			b.WriteString(drawTrouble(s, "refused: ", &Trouble{
				What: l.Refused,
				Mend: fmt.Sprintf("the token service goes on with the last good list; mend the lines: kubectl -n %s edit secret %s", l.Namespace, l.Secret),
			}))
		}
		if len(l.Strays) > 0 {
			b.WriteString(drawTrouble(s, "note: ", &Trouble{What: "a role but no password: " + strings.Join(l.Strays, ", ")}))
		}
		b.WriteString("\n" + userTable(l.Users).String(s))
	}
	return b.String()
}

func userTable(users []UserReport) *table {
	t := &table{heads: []string{"NAME", "ROLE", "SUB", "HASH"}}
	for _, u := range users {
		colour := plain
		if u.Hash == "unusable" {
			colour = bad
		}
		t.add(text(u.Name), text(u.Role), text(strings.Join(u.Subjects, " ")), toned(u.Hash, colour))
	}
	return t
}

// newSecret is an empty list of users.
func (s *Session) newSecret(from source) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: from.secret}, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{},
	}
}

func (s *Session) createSecret(ctx context.Context, stored *corev1.Secret, edit func(*corev1.Secret) error) error {
	if err := edit(stored); err != nil {
		return err
	}
	return s.Client.Create(ctx, stored)
}
