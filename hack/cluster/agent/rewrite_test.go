package agent

import "testing"

func TestRewriteMounts(t *testing.T) {
	mounts := []mountPoint{{"/etc/keyturn", "/h/a"}, {"/etc/keyturn/tls", "/h/b"}, {"/data/", "/h/c"}, {"/", "/h/root"}}
	for _, tt := range []struct{ in, want string }{
		{"/etc/keyturn", "/h/a"},
		{"/etc/keyturn/x.json", "/h/a/x.json"},
		{"--snapshot=/etc/keyturn/x.json", "--snapshot=/h/a/x.json"},
		{"/etc/keyturn/tls/tls.crt", "/h/b/tls.crt"},
		{"/etc/keyturn/tlsx", "/h/a/tlsx"},
		{"/etc/keyturnish", "/etc/keyturnish"},
		{"/etc/keyturn.d/x", "/etc/keyturn.d/x"},
		{"/var/etc/keyturn", "/var/etc/keyturn"},
		{"file:///data/db", "file:///h/c/db"},
		{"https://host/data/x", "https://host/data/x"},
		{"https:///data", "https:///data"},
		{"/data:/etc/keyturn/a,/data", "/h/c:/h/a/a,/h/c"},
		{`{"path":"/data/x"}`, `{"path":"/h/c/x"}`},
		{"/other", "/other"},
		{"data", "data"},
		{"", ""},
	} {
		if got := rewriteMounts(tt.in, mounts); got != tt.want {
			t.Errorf("rewriteMounts(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestRewriteMountsLooksOnlyOnce(t *testing.T) {
	mounts := []mountPoint{{"/a", "/b/a"}, {"/b", "/c"}}
	if got := rewriteMounts("/a/x", mounts); got != "/b/a/x" {
		t.Errorf("the host path was rewritten again: %q", got)
	}
}

func TestRewriteServices(t *testing.T) {
	lookup := func(namespace, name string) (string, bool) {
		v, ok := map[string]string{"auth/tokens": "127.96.0.9", "auth/t-2": "127.96.0.10"}[namespace+"/"+name]
		return v, ok
	}
	for _, tt := range []struct{ variable, in, want string }{
		{"", "--feed=https://tokens.auth.svc:9443/x", "--feed=https://127.96.0.9:9443/x"},
		{"", "tokens.auth.svc.cluster.local", "127.96.0.9"},
		{"", "tokens.auth.svc.cluster.local.:80", "127.96.0.9:80"},
		{"", "a=tokens.auth.svc,b=t-2.auth.svc", "a=127.96.0.9,b=127.96.0.10"},
		{"", "--feed-server-name=tokens.auth.svc", "--feed-server-name=tokens.auth.svc"},
		{"FEED_SERVER_NAME", "tokens.auth.svc", "tokens.auth.svc"},
		{"FEED", "tokens.auth.svc:1", "127.96.0.9:1"},
		{"", "unknown.auth.svc:1", "unknown.auth.svc:1"},
		{"", "tokens-0.tokens.auth.svc:1", "tokens-0.tokens.auth.svc:1"},
		{"", "tokens.auth.svc.example.com", "tokens.auth.svc.example.com"},
		{"", "tokens.auth.svcx", "tokens.auth.svcx"},
	} {
		if got := rewriteServices(tt.variable, tt.in, lookup); got != tt.want {
			t.Errorf("rewriteServices(%q, %q) = %q, want %q", tt.variable, tt.in, got, tt.want)
		}
	}
}
