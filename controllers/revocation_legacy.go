package controllers

import (
	"fmt"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// untouched says which legacy sessions a revocation does not end: they have no number, so nobody can tell those of now from
// those of later, unless a revoker finds those of a user. Empty: none.
func (s *revocationStep) untouched(views []*revocationView) string {
	for _, view := range views {
		if view.legacy == nil || s.rev.Spec.All == nil && (s.rev.Spec.User == nil || findsSessions(view.legacy.Spec.Legacy.Revoker)) {
			continue
		}
		return fmt.Sprintf("; legacy sessions that never became a login go on (AuthRollout %s): end those in the application", view.legacy.Name)
	}
	return ""
}

// findsSessions tells whether a revoker can end the sessions of a user of which only the name is known.
func findsSessions(revoker *keyturnv1alpha1.LegacyRevoker) bool {
	return revoker != nil && (revoker.HTTP != nil || revoker.Redis != nil && revoker.Redis.UserIndex != nil)
}
