package plugin

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// testRolloutOnServer prints what kubectl get shows, as the API server renders it, and gives a command.
func testRolloutOnServer(t *testing.T, c *call, config *rest.Config) {
	own := rest.CopyConfig(config)
	own.APIPath, own.GroupVersion = "/apis", &schema.GroupVersion{Group: v1alpha1.Group, Version: "v1alpha1"}
	own.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	reader, err := rest.RESTClientFor(own)
	if err != nil {
		t.Fatal(err)
	}
	var found metav1.Table
	err = reader.Get().Namespace("demo").Resource("authrollouts").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(c.ctx).Into(&found)
	if err != nil {
		t.Fatal(err)
	}
	drawn := &table{}
	for _, column := range found.ColumnDefinitions {
		if column.Priority == 0 {
			drawn.heads = append(drawn.heads, strings.ToUpper(column.Name))
		}
	}
	for _, row := range found.Rows {
		var cells []cell
		for i, value := range row.Cells {
			if found.ColumnDefinitions[i].Priority == 0 {
				cells = append(cells, text(fmt.Sprint(value)))
			}
		}
		drawn.add(cells...)
	}
	golden(t, "rollout-get", "$ kubectl get aro\n"+drawn.String(plainScreen))
	if err := c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: "hold"}); err != nil {
		t.Fatal(err)
	}
	if got := c.commanded(t); !strings.HasSuffix(got, " hold") {
		t.Errorf("the annotation is %q", got)
	}
}
