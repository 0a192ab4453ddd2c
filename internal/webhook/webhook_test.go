package webhook

import (
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func TestCheckURL(t *testing.T) {
	tests := []struct {
		url          string
		query, asked bool
	}{
		{"https://a.example.com/x", false, true},
		{"https://a.example.com/x?y=1", true, true},
		{"https://a.example.com/x?y=1", false, false},
		{"https://a.example.com/x?", false, false},
		{"http://a.example.com/x", true, false},
		{"http://localhost:1/x", true, true},
		{"http://LOCALHOST/x", true, true},
		{"http://127.3.2.1/x", true, true},
		{"http://[::1]:1/x", true, true},
		{"http://app.shop.svc/x", true, true},
		{"http://app.shop.SVC.cluster.local/x", true, true},
		{"http://app.shop.svc.example.com/x", true, false},
		{"http://svc/x", true, false},
		{"http://localhost.example.com/x", true, false},
		{"https://user@a.example.com/x", true, false},
		{"https://a.example.com/x#y", true, false},
		{"ftp://localhost/x", true, false},
		{"https:a.example.com", true, false},
		{"/x", true, false},
		{"", true, false},
		{"https://a b/", true, false},
	}
	for _, test := range tests {
		if err := CheckURL(test.url, test.query); (err == nil) != test.asked {
			t.Errorf("%q with a query %t: %v", test.url, test.query, err)
		}
	}
}
