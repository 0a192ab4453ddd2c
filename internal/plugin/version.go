package plugin

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// VersionReport is what `version` prints.
type VersionReport struct {
	Client   string          `json:"client"`
	Managers []ManagerReport `json:"managers"`
	// Unknown says why the managers could not be read; empty if they were.
	Unknown string `json:"unknown,omitempty"`
}

// ManagerReport is one Deployment of the manager.
type ManagerReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Image     string `json:"image"`
	Ready     int32  `json:"ready"`
	Replicas  int32  `json:"replicas"`
}

// Version prints the version of this program, and the manager's image unless connect fails or the right is missing: that
// is no error, because who asks for a version may have no cluster. Without connect it prints the client only.
func Version(ctx context.Context, s *Session, version string, connect func() (client.Client, error)) error {
	report := VersionReport{Client: version, Managers: []ManagerReport{}}
	if connect == nil {
		return s.print(report, func() string { return drawClient(&report) })
	}
	reader, err := connect()
	if err == nil {
		var found appsv1.DeploymentList
		err = reader.List(ctx, &found, client.MatchingLabels{
			v1alpha1.LabelName: v1alpha1.NameKeyturn, v1alpha1.LabelComponent: v1alpha1.ComponentManager,
		})
		for i := range found.Items {
			report.Managers = append(report.Managers, newManagerReport(&found.Items[i]))
		}
	}
	if err != nil {
		report.Unknown = Explain(err, "").What
	}
	return s.print(report, func() string { return drawVersion(s.Screen, &report) })
}

func newManagerReport(d *appsv1.Deployment) ManagerReport {
	r := ManagerReport{Namespace: d.Namespace, Name: d.Name, Ready: d.Status.ReadyReplicas, Replicas: 1}
	if d.Spec.Replicas != nil {
		r.Replicas = *d.Spec.Replicas
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if r.Image == "" || c.Name == "manager" {
			r.Image = c.Image
		}
	}
	return r
}

func drawClient(r *VersionReport) string { return fmt.Sprintf("client   %s\n", r.Client) }

func drawVersion(s Screen, r *VersionReport) string {
	out := drawClient(r)
	for _, m := range r.Managers {
		colour := plain
		if m.Ready == 0 {
			colour = bad
		}
		out += fmt.Sprintf("manager  %s  %s/%s, %s\n", clean(m.Image), m.Namespace, m.Name, s.paint(colour, fmt.Sprintf("%d/%d ready", m.Ready, m.Replicas)))
	}
	switch {
	case r.Unknown != "":
		out += "manager  unknown: " + clean(r.Unknown) + "\n"
	case len(r.Managers) == 0:
		out += "manager  none found in this cluster\n"
	}
	return out
}
