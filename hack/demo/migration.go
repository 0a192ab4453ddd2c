package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/rollout"
)

//go:embed rollout.yaml
var rolloutManifests string

const (
	rolloutSalt = "demo-2027"
	oldUsers    = 40
)

// migration is the second act: users with live sessions of an old application get tokens by percentage, and go back.
func (p *play) migration(ctx context.Context) error {
	p.show.title("The users of an old application, moved to tokens and back")
	p.show.text(fmt.Sprintf("It keeps sessions in Redis and a signed cookie. %d users have one, call all the time, and never log in again.", oldUsers))
	app, err := p.startOldApplication(ctx)
	if err != nil {
		return err
	}
	p.show.command("kubectl apply -f hack/demo/rollout.yaml   # an AuthRollout: 10 %, 50 %, 100 %")
	if err := p.applyRollout(ctx, app.URL()); err != nil {
		return err
	}
	all, err := arrive(ctx, p.stage.URL, app, oldApplicationUsers())
	if err != nil {
		return err
	}
	defer all.leave()
	one := all.oneBetween(10, 50)
	for _, percent := range []int{0, 10, 50, 100} {
		if percent > 0 {
			if err := p.command(ctx, "promote"); err != nil {
				return err
			}
		}
		if err := p.arrived(ctx, all, percent); err != nil {
			return err
		}
		p.check(all.misplaced(percent) == 0, fmt.Sprintf("at %d %%: who is in the cohort has tokens, nobody else", percent), fmt.Sprintf("%d of %d", all.withTokens(), oldUsers))
		p.check(one.method.Load() == methodAt(percent >= 50), fmt.Sprintf("… %s calls, and the application reads", one.user), fmt.Sprint("X-Auth-Method: ", one.method.Load()))
	}
	if err := p.rolloutTable(ctx); err != nil {
		return err
	}
	p.show.text("\nSomething is wrong with the new release? One command takes everybody back:")
	began := time.Now()
	if err := p.command(ctx, "abort"); err != nil {
		return err
	}
	if err := p.inForce(ctx, 0); err != nil {
		return err
	}
	p.check(true, "0 % is in force on every replica", fmt.Sprintf("after %.1f s", time.Since(began).Seconds()))
	if err := p.arrived(ctx, all, 0); err != nil {
		return err
	}
	p.check(all.withTokens() == 0, "… and everybody is on a session again", fmt.Sprintf("%d of %d have tokens", all.withTokens(), oldUsers))
	p.check(one.method.Load() == methodAt(false), fmt.Sprintf("… %s calls, and the application reads", one.user), fmt.Sprint("X-Auth-Method: ", one.method.Load()))
	all.leave()
	moved := fmt.Sprintf("%d calls of %d users on the way there and back, %d logged out", all.calls.Load(), oldUsers, all.loggedOut.Load())
	p.check(all.loggedOut.Load() == 0 && all.mistaken.Load() == 0 && all.calls.Load() > 100, moved, "")
	p.moved = moved
	return p.rolloutTable(ctx)
}

func methodAt(moved bool) string {
	if moved {
		return "jwt"
	}
	return "session"
}

func oldApplicationUsers() []legacyapp.User {
	users := make([]legacyapp.User, oldUsers)
	for i := range users {
		name := fmt.Sprintf("user-%02d", i)
		users[i] = legacyapp.User{ID: "shop:" + name, Name: name, Password: "password-of-" + name, Role: "user"}
	}
	return users
}

// startOldApplication starts it on a Redis of its own; both end with the demo.
func (p *play) startOldApplication(ctx context.Context) (*legacyapp.Application, error) {
	program, err := redis.Find(ctx, p.show.out)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(p.dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	server, err := program.Start(ctx, dir, redis.Options{})
	if err != nil {
		return nil, err
	}
	p.atEnd = append(p.atEnd, server.Stop)
	app, err := legacyapp.Start("", legacyapp.Options{
		Redis: server.Address(), Secret: "the-secret-that-signs-cookies", Token: "the-token-for-the-old-application", Users: oldApplicationUsers(),
	})
	if err != nil {
		return nil, err
	}
	p.atEnd = append(p.atEnd, app.Stop)
	return app, nil
}

func (p *play) applyRollout(ctx context.Context, app string) error {
	// Cookies for browsers, and room for all of the demo's users behind one address.
	const patch = `{"spec":{"cookies":{"mode":"Optional"},"login":{"rateLimit":{"limit":10000}}}}`
	if _, err := p.stage.Kubectl(ctx, "patch", "tpol", "web", "-n", stage.Namespace, "--type=merge", "-p", patch); err != nil {
		return err
	}
	if _, err := p.stage.Apply(ctx, strings.ReplaceAll(rolloutManifests, "APP", app)); err != nil {
		return err
	}
	if _, err := p.stage.Kubectl(ctx, "wait", "-n", stage.Namespace, "--for=condition=Ready", "--timeout=110s", "tokenservice/"+stage.Service, "aro/web"); err != nil {
		return err
	}
	return p.inForce(ctx, 0)
}

func (p *play) command(ctx context.Context, action string) error {
	p.show.command("kubectl keyturn rollout " + action + " web -n demo")
	out, err := p.stage.Plugin(ctx, "rollout", action, "web", "-n", stage.Namespace)
	p.show.table(out)
	return err
}

func (p *play) rolloutTable(ctx context.Context) error {
	p.show.command("kubectl get aro -n demo")
	out, err := p.stage.Kubectl(ctx, "get", "aro", "-n", stage.Namespace)
	p.show.table(out)
	return err
}

// inForce waits until every replica works with a percentage.
func (p *play) inForce(ctx context.Context, percent int) error {
	return p.stage.Await(ctx, time.Minute, func(ctx context.Context) (string, error) {
		var aro keyturnv1alpha1.AuthRollout
		if err := p.stage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: "web"}, &aro); err != nil {
			return "", err
		}
		s := &aro.Status
		if s.Percent == nil || int(*s.Percent) != percent || !meta.IsStatusConditionTrue(s.Conditions, keyturnv1alpha1.ConditionInForce) {
			return fmt.Sprintf("%d%% is not in force on every replica yet", percent), nil
		}
		return "", nil
	})
}

// arrived waits until a percentage is in force and every visitor has begun anew since, twice: one beginning may have been
// on its way.
func (p *play) arrived(ctx context.Context, all *visitors, percent int) error {
	if err := p.inForce(ctx, percent); err != nil {
		return err
	}
	least := map[*visitor]int64{}
	for _, v := range all.all {
		least[v] = v.opened.Load() + 2
	}
	return p.stage.Await(ctx, time.Minute, func(context.Context) (string, error) {
		for v, n := range least {
			if v.opened.Load() < n {
				return v.user + " has not begun anew", nil
			}
		}
		return "", nil
	})
}

// misplaced counts the visitors who have tokens and are not in the cohort, or the other way round.
func (all *visitors) misplaced(percent int) (n int) {
	for _, v := range all.all {
		if (rollout.Cohort{Salt: rolloutSalt, Percent: percent}).Has(v.user) != v.tokens.Load() {
			n++
		}
	}
	return n
}

// oneBetween is a visitor who is in the cohort at one percentage and not at another.
func (all *visitors) oneBetween(out, in int) *visitor {
	for _, v := range all.all {
		if (rollout.Cohort{Salt: rolloutSalt, Percent: in}).Has(v.user) && !(rollout.Cohort{Salt: rolloutSalt, Percent: out}).Has(v.user) {
			return v
		}
	}
	panic("the demo's users are all alike: choose another salt")
}
