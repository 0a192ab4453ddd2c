package controllers

import (
	"maps"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// The names of everything made for one TokenService.
type serviceNames struct{ tokenService, feed, edge, issuerSnapshot, edgeSnapshot, feedServer, feedClient string }

func namesOf(tsvc *keyturnv1alpha1.TokenService) serviceNames {
	return serviceNames{
		tokenService:   tsvc.Name + "-tokenservice",
		feed:           tsvc.Name + "-feed",
		edge:           tsvc.Name + "-extauthz",
		issuerSnapshot: tsvc.Name + "-issuer-snapshot",
		edgeSnapshot:   tsvc.Name + "-edge-snapshot",
		feedServer:     tsvc.Name + "-feed-server",
		feedClient:     tsvc.Name + "-feed-client",
	}
}

// snapshotKey is the key of a snapshot Secret and the file name of the mounted document.
const snapshotKey = "snapshot.json.gz"

// The ports of the two workloads.
const (
	portPublic   = 8080 // tokenservice: /auth/ and /.well-known/; extauthz: /authz/
	portGRPC     = 9000 // extauthz: Envoy's external authorization
	portInternal = 9090 // both: /livez /readyz /metrics /status
	portFeed     = 8444 // tokenservice: revocations
)

// selectorLabels select the pods of one workload. They hold LabelManagedBy, by which the manager's cache is filtered:
// a pod that loses it is released by its workload too, so cache and ownership agree.
func selectorLabels(tsvc *keyturnv1alpha1.TokenService, component string) map[string]string {
	return map[string]string{
		keyturnv1alpha1.LabelManagedBy:    keyturnv1alpha1.ManagerName,
		keyturnv1alpha1.LabelTokenService: tsvc.Name,
		keyturnv1alpha1.LabelComponent:    component,
	}
}

func objectLabels(tsvc *keyturnv1alpha1.TokenService, component string) map[string]string {
	labels := map[string]string{
		keyturnv1alpha1.LabelName:     keyturnv1alpha1.NameKeyturn,
		keyturnv1alpha1.LabelPartOf:   keyturnv1alpha1.NameKeyturn,
		keyturnv1alpha1.LabelInstance: tsvc.Name,
	}
	maps.Copy(labels, selectorLabels(tsvc, component))
	return labels
}

// short is how a kid appears in a table or a message.
func short(kid string) string {
	if len(kid) > 8 {
		return kid[:8]
	}
	return kid
}
