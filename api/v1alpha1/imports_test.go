package v1alpha1_test

import (
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

// TestImports keeps the API light for those who import it: apimachinery and what that needs, nothing else.
func TestImports(t *testing.T) {
	deptest.Forbid(t, "k8s.io/api/", "k8s.io/apiserver", "k8s.io/apiextensions-apiserver", "k8s.io/client-go", "k8s.io/component-base",
		"sigs.k8s.io/controller-runtime", "github.com/keyturn/keyturn/internal", "github.com/keyturn/keyturn/controllers")
}
