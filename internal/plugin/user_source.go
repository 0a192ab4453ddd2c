package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// UserScope says which list of users is meant.
type UserScope struct {
	// Service is a TokenService, Secret one of its Secrets; both may be empty where there is only one.
	Service, Secret string
}

// source is a Secret with users and the identity sources that read it.
type source struct {
	secret string
	uses   []use
}

// use is an identity source of a TokenService.
type use struct{ service, name, prefix string }

// sources lists the Secrets that a scope means, in the order of their names.
func (s *Session) sources(ctx context.Context, scope UserScope) ([]source, error) {
	var services v1alpha1.TokenServiceList
	if err := s.Client.List(ctx, &services, client.InNamespace(s.Namespace)); err != nil {
		return nil, err
	}
	var names []string
	bySecret := map[string][]use{}
	for i := range services.Items {
		tsvc := &services.Items[i]
		names = append(names, tsvc.Name)
		if scope.Service != "" && tsvc.Name != scope.Service {
			continue
		}
		for _, from := range tsvc.Spec.Identity {
			if from.HTPasswd != nil {
				secret := from.HTPasswd.SecretRef.Name
				bySecret[secret] = append(bySecret[secret], use{tsvc.Name, from.Name, from.SubjectPrefix})
			}
		}
	}
	if scope.Service != "" && !slices.Contains(names, scope.Service) {
		return nil, s.missing("TokenService", scope.Service, names, nil)
	}
	var found []source
	for secret, uses := range bySecret {
		if scope.Secret == "" || scope.Secret == secret {
			found = append(found, source{secret, uses})
		}
	}
	if len(found) == 0 && scope.Secret != "" && scope.Service == "" {
		return []source{{secret: scope.Secret}}, nil
	}
	slices.SortFunc(found, func(a, b source) int { return strings.Compare(a.secret, b.secret) })
	if len(found) == 0 {
		return nil, s.noSource(scope)
	}
	return found, nil
}

func (s *Session) noSource(scope UserScope) error {
	switch {
	case scope.Service != "" && scope.Secret != "":
		return &Trouble{What: fmt.Sprintf("TokenService %s takes no users from Secret %s", clean(scope.Service), clean(scope.Secret)), Mend: "leave one of --service and --secret out"}
	case scope.Service != "":
		return &Trouble{What: fmt.Sprintf("TokenService %s takes no users from a Secret", clean(scope.Service)), Mend: "add an htpasswd source to its spec.identity"}
	}
	return &Trouble{What: "no TokenService of namespace " + s.Namespace + " takes users from a Secret", Mend: "name another namespace with -n, or a Secret with --secret"}
}

// one is the only source of a scope; its error tells how to choose.
func (s *Session) one(ctx context.Context, scope UserScope) (source, error) {
	found, err := s.sources(ctx, scope)
	if err != nil {
		return source{}, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var choices []string
	for _, f := range found {
		choices = append(choices, fmt.Sprintf("--secret %s (%s)", f.secret, f.readBy()))
	}
	return source{}, &Trouble{What: "there are several lists of users in namespace " + s.Namespace, Mend: "choose one: " + strings.Join(choices, " or ")}
}

// readBy names who reads the Secret.
func (f source) readBy() string {
	var parts []string
	for _, u := range f.uses {
		parts = append(parts, fmt.Sprintf("source %s of TokenService %s", u.name, u.service))
	}
	if len(parts) == 0 {
		return "read by no TokenService"
	}
	return strings.Join(parts, ", ")
}

// subjects are the subs of an account.
func (f source) subjects(account string) []string {
	subs := []string{}
	for _, u := range f.uses {
		if sub := u.prefix + account; !slices.Contains(subs, sub) {
			subs = append(subs, sub)
		}
	}
	return subs
}

// secretOf gets the Secret of a source.
func (s *Session) secretOf(ctx context.Context, f source) (*corev1.Secret, error) {
	var stored corev1.Secret
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: f.secret}, &stored)
	if err == nil {
		return &stored, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	return nil, &Trouble{What: fmt.Sprintf("the Secret %s/%s does not exist", s.Namespace, clean(f.secret)), Mend: "make it and its first user with: kubectl keyturn user set NAME --create", Cause: err}
}
