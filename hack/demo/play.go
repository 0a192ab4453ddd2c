package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

// play is the demo's script. Every check counts; the verdict is their sum.
type play struct {
	stage *stage.Stage
	show  *screen
	user  *stage.User
	// dir is for what an act starts; atEnd stops it, last first.
	dir   string
	atEnd []func()

	passed, failed int
	load, moved    string
}

func (p *play) all(ctx context.Context) error {
	for _, act := range []func(context.Context) error{p.tables, p.session, p.rotation, p.theft, p.migration, p.tables} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) check(good bool, what, got string) {
	if good {
		p.passed++
	} else {
		p.failed++
	}
	p.show.check(good, what, got)
}

// expect shows an answer and checks its status and code.
func (p *play) expect(what string, answer stage.Answer, status int, code string) {
	got := fmt.Sprintf("%d", answer.Status)
	if c := answer.Code(); c != "" {
		got += " " + c
	}
	p.check(answer.Status == status && answer.Code() == code, what, got)
}

func (p *play) tables(ctx context.Context) error {
	const args = "get sks,tpol,tsvc -n demo"
	out, err := p.stage.Kubectl(ctx, strings.Fields(args)...)
	if err != nil {
		return err
	}
	p.show.command("kubectl " + args)
	p.show.table(out)
	return nil
}

// session is a user's day: in, call, refresh, out.
func (p *play) session(ctx context.Context) error {
	p.show.title("A user, through nginx at " + p.stage.URL)
	answer, err := p.user.Call(ctx, "/orders")
	if err != nil {
		return err
	}
	p.expect("GET /orders without a token", answer, http.StatusUnauthorized, "no_credential")
	p.check(strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer"), "… and says how to authenticate", "WWW-Authenticate: "+answer.Header.Get("WWW-Authenticate"))

	first, answer, err := p.user.Login(ctx, "alice", "sample-password-alice")
	if err != nil {
		return err
	}
	p.expect("POST /auth/login as alice", answer, http.StatusOK, "")
	if err := p.call(ctx, "GET /orders with her access token", first.Access); err != nil {
		return err
	}
	second, answer, err := p.user.Refresh(ctx, first.Refresh)
	if err != nil {
		return err
	}
	p.expect("POST /auth/refresh", answer, http.StatusOK, "")
	p.check(second.Refresh != first.Refresh && second.Access != first.Access, "… rotates both tokens", "")
	if err := p.call(ctx, "GET /orders with the new access token", second.Access); err != nil {
		return err
	}
	again, answer, err := p.user.Refresh(ctx, first.Refresh)
	if err != nil {
		return err
	}
	p.expect("the old refresh token again at once (the answer was lost)", answer, http.StatusOK, "")
	p.check(again.Refresh == second.Refresh, "… returns the same successor: one chain, no second session", "")

	if answer, err = p.user.Logout(ctx, second.Refresh); err != nil {
		return err
	}
	p.expect("POST /auth/logout", answer, http.StatusOK, "")
	if answer, err = p.user.CallAs(ctx, "/orders", second.Access); err != nil {
		return err
	}
	p.expect("GET /orders with the access token of the ended session", answer, http.StatusUnauthorized, "revoked")
	return nil
}

func (p *play) call(ctx context.Context, what, access string) error {
	answer, err := p.user.CallAs(ctx, "/orders", access)
	if err != nil {
		return err
	}
	p.expect(what, answer, http.StatusOK, "")
	var seen stage.Seen
	if answer.Status == http.StatusOK && answer.Decode(&seen) == nil {
		p.check(seen.User == "staff:alice" && seen.Role == "admin", "… the application reads two headers", fmt.Sprintf("X-Auth-User: %s, X-Auth-Role: %s", seen.User, seen.Role))
	}
	return nil
}

// rotation changes the signing key twice under load.
func (p *play) rotation(ctx context.Context) error {
	p.show.title("Two rotations of the signing key while requests run")
	p.show.text("The samples publish a key for 24 h before it signs. To watch it, the waits are scaled down to seconds:")
	patch := []string{"patch", "sks", "main", "-n", stage.Namespace, "--type=merge", "-p", stage.FastRotation}
	p.show.command("kubectl patch sks main -n demo --type=merge -p '" + stage.FastRotation + "'")
	if _, err := p.stage.Kubectl(ctx, patch...); err != nil {
		return err
	}
	load, err := p.stage.StartLoad(ctx, 4, "bob", "sample-password-bob", 1500*time.Millisecond)
	if err != nil {
		return err
	}
	defer load.Stop()
	for i := range 2 {
		p.show.command("kubectl annotate sks main -n demo --overwrite keyturn.dev/rotate-requested-at=$(date -u +%FT%TZ)")
		began := time.Now()
		from, to, err := p.stage.Rotate(ctx)
		if err != nil {
			return err
		}
		p.check(from != to, fmt.Sprintf("rotation %d: key %.8s took over from %.8s everywhere", i+1, to, from), fmt.Sprintf("in %.1f s", time.Since(began).Seconds()))
		out, err := p.stage.Kubectl(ctx, "get", "sks", "-n", stage.Namespace, "-o", "wide")
		if err != nil {
			return err
		}
		p.show.table(out)
	}
	load.Stop()
	p.load = fmt.Sprintf("%d calls and %d refreshes during two rotations, %d refused", load.Sent.Load(), load.Refreshed.Load(), load.Refused.Load())
	p.check(load.Refused.Load() == 0 && load.Sent.Load() > 100, p.load, load.FirstRefusal())
	return nil
}

// theft presents a refresh token again after the retry window is over.
func (p *play) theft(ctx context.Context) error {
	p.show.title("A refresh token that was stolen")
	p.show.text("After the retry window (10 s) a second use of a refresh token means theft: the whole session ends.")
	first, answer, err := p.user.Login(ctx, "alice", "sample-password-alice")
	if err != nil {
		return err
	}
	p.expect("POST /auth/login as alice", answer, http.StatusOK, "")
	second, answer, err := p.user.Refresh(ctx, first.Refresh)
	if err != nil {
		return err
	}
	p.expect("POST /auth/refresh", answer, http.StatusOK, "")
	select {
	case <-time.After(10500 * time.Millisecond): // the wait is what is shown
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, answer, err = p.user.Refresh(ctx, first.Refresh); err != nil {
		return err
	}
	p.expect("the old refresh token again, 10 s later", answer, http.StatusUnauthorized, "refresh_token_reused")
	if _, answer, err = p.user.Refresh(ctx, second.Refresh); err != nil {
		return err
	}
	p.check(answer.Status == http.StatusUnauthorized, "… and the successor is dead too", fmt.Sprint(answer.Status, " ", answer.Code()))
	if answer, err = p.user.CallAs(ctx, "/orders", second.Access); err != nil {
		return err
	}
	p.expect("… and so are the access tokens of that session", answer, http.StatusUnauthorized, "revoked")
	return nil
}

// end stops what the acts have started.
func (p *play) end() {
	for _, stop := range slices.Backward(p.atEnd) {
		stop()
	}
}

// keep leaves the stage up until Ctrl-C.
func (p *play) keep(ctx context.Context) error {
	p.show.title("It goes on running. Ctrl-C stops it.")
	fmt.Fprintf(p.show.out, `
  export KUBECONFIG=%s
  %s get keyturn -n demo

  curl -i %s/orders
  curl -s %s/auth/login -H 'Content-Type: application/json' -d '{"username":"alice","password":"sample-password-alice"}'
  curl -i %s/orders -H "Authorization: Bearer $ACCESS_TOKEN"
`, p.stage.Cluster.Kubeconfig(), p.stage.Cluster.KubectlPath(), p.stage.URL, p.stage.URL, p.stage.URL)
	<-ctx.Done()
	return ctx.Err()
}

// verdict sums up; an error if anything was not as it should be.
func (p *play) verdict() error {
	p.show.title("Summary")
	fmt.Fprintf(p.show.out, "  %d checks as they should be, %d not.\n  %s.\n  %s.\n", p.passed, p.failed, p.load, p.moved)
	if p.failed > 0 {
		return fmt.Errorf("%d checks failed", p.failed)
	}
	return nil
}
