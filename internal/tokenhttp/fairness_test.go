package tokenhttp

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// failing is a source of users that answers with one error.
type failing struct{ err error }

func (f failing) Lookup(context.Context, identity.User) (identity.User, error) {
	return identity.User{}, f.err
}

// A crowd, and a client that goes away, are no failure of the service: the rollout does not roll back for them, and the
// log tells of no outage.
func TestRefreshInACrowd(t *testing.T) {
	for _, row := range []struct {
		err    error
		code   string
		result string
		counts snapshot.EventCounts
	}{
		{identity.ErrBusy, CodeBusy, "busy", snapshot.EventCounts{}},
		{context.Canceled, CodeBusy, "cancelled", snapshot.EventCounts{}},
		{identity.ErrUnavailable, CodeIdentityDown, "unavailable", snapshot.EventCounts{Events: 1, Failures: 1}},
		{context.DeadlineExceeded, CodeIdentityDown, "unavailable", snapshot.EventCounts{Events: 1, Failures: 1}},
	} {
		r := newLegacyRig(t, 100)
		r.inBodies()
		a := r.login("alice", canary)
		doc := *r.document.Load()
		doc.users = failing{row.err}
		r.document.Store(&doc)
		r.want(r.refresh(a.text("refresh_token")), http.StatusServiceUnavailable, row.code)
		if diff := cmp.Diff(row.counts, r.service.Status(t.Context()).Rollout.Endpoints); diff != "" {
			t.Errorf("%v: %s", row.err, diff)
		}
		if outage := strings.Contains(r.log.String(), "identity_unavailable"); outage != (row.result == "unavailable") {
			t.Errorf("%v: told as an outage: %t", row.err, outage)
		}
		if r.refreshes(row.result) != 1 {
			t.Errorf("%v is not counted as %s", row.err, row.result)
		}
		r.use(r.issuer)
		r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "") // nothing was spent
	}
}

// A page of another site can have a browser send forms. They spend nothing of what the address may ask.
func TestFormsFromElsewhere(t *testing.T) {
	r := newOAuthRig(t)
	doc := r.issuer
	doc.LoginLimit.Limit = 1 // ten exchanges, one wrong secret
	doc.Browser.AllowedOrigins = []string{"https://app.example.com"}
	r.use(doc)
	subject := exchangeForm("alice", "id_token")
	for range 15 {
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
			for path, form := range map[string]url.Values{
				"/auth/token":      subject,
				"/auth/revoke":     {"token": {"x"}, "client_id": {"orders"}, "client_secret": {"x"}},
				"/auth/introspect": {"token": {"x"}, "client_id": {"orders"}, "client_secret": {"x"}},
			} {
				r.refused(r.post(path, form, headers...), http.StatusForbidden, CodeCrossSite, "invalid_request")
			}
		}
	}
	for _, headers := range [][]string{nil, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.com"}} {
		r.want(r.post("/auth/token", subject, headers...), http.StatusOK, "")
	}
	r.refused(r.post("/auth/revoke", url.Values{"token": {"x"}}, basic("orders", "x")...), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
}

// Names in the log cannot be found out by guessing: the same name is the same in one process, and another in the next.
func TestNamesInTheLog(t *testing.T) {
	account := regexp.MustCompile(`"account":"([^"]+)"`)
	seen := func(r *rig, name string) string {
		r.Helper()
		r.want(r.login(name, "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
		all := account.FindAllStringSubmatch(r.log.String(), -1)
		if len(all) == 0 || len(all[len(all)-1][1]) != 12 {
			r.Fatalf("no account in %s", r.log)
		}
		return all[len(all)-1][1]
	}
	r := newRig(t)
	first := seen(r, "Alice")
	if seen(r, "alice") != first {
		t.Error("two spellings of one name cannot be brought together")
	}
	if seen(r, "bob") == first {
		t.Error("two names are the same")
	}
	if strings.HasPrefix(accountKey("alice"), first) || strings.HasPrefix(nameKey("alice"), first) {
		t.Error("whoever has the log can try names")
	}
	r.restart()
	if seen(r, "alice") == first {
		t.Error("another process hashes with the same key")
	}
}

// Claims that no token may have are found before anything is stored: no login stays that nobody has tokens of.
func TestNoOrphans(t *testing.T) {
	r := newLegacyRig(t, 100)
	made := &counted{Store: r.store}
	r.service.Families, r.service.Sessions = made, made
	doc := r.issuer
	doc.Access.MaxClaimBytes = 5
	r.use(doc)
	sid := r.app.session("alice", time.Hour)
	for _, a := range []answer{r.login("alice", canary), r.exchangeSession(sid), r.refreshSession("", sid)} {
		r.want(a, http.StatusInternalServerError, CodeInternal)
	}
	if len(made.families) > 0 {
		t.Errorf("%d logins were made, and nobody has their tokens", len(made.families))
	}
	// What only the signature shows, a token that no cookie holds, ends the login at once.
	doc.Access.MaxClaimBytes, doc.Access.Audiences = 1024, []string{strings.Repeat("a", 4000)}
	r.use(doc)
	r.want(r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary, "delivery", "cookie")), http.StatusInternalServerError, CodeInternal)
	if len(made.families) != 1 || !slices.Equal(made.families, made.ended) {
		t.Errorf("made %q, ended %q", made.families, made.ended)
	}
}

func TestNoOrphansOfTokens(t *testing.T) {
	r := newOAuthRig(t)
	made := &counted{Store: r.store}
	r.service.Families = made
	doc := r.issuer
	doc.Access.MaxClaimBytes = 1
	r.use(doc)
	r.refused(r.exchange("alice", "id_token"), http.StatusInternalServerError, CodeInternal, "server_error")
	if len(made.families) > 0 {
		t.Errorf("%d logins were made, and nobody has their tokens", len(made.families))
	}
}

// counted remembers the families that were made and ended.
type counted struct {
	store.Store
	families, ended []string
}

func (c *counted) Create(ctx context.Context, n store.NewFamily) (store.Created, error) {
	created, err := c.Store.Create(ctx, n)
	if err == nil {
		c.families = append(c.families, created.Family.SessionID)
	}
	return created, err
}

func (c *counted) RevokeSession(ctx context.Context, q store.Revoke) (uint64, error) {
	c.ended = append(c.ended, q.SessionID)
	return c.Store.RevokeSession(ctx, q)
}
