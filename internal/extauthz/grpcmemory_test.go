package extauthz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// The memory of an answer is used again. Whatever is asked at once on one connection, and whoever goes away in between,
// everybody gets the answer to his own question.
func TestAnswersAreNotMixed(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			r, user := rand.New(rand.NewPCG(uint64(n), 1)), fmt.Sprintf("user-%d", n)
			good := mint(t, signingKeys()[0], func(c *token.Claims) { c.Subject, c.Custom = user, map[string]string{"user_id": user, "role": user} })
			bad := mint(t, signingKeys()[1], func(c *token.Claims) { c.Subject = user })
			for range 300 {
				raw := good
				if r.IntN(2) == 0 {
					raw = bad
				}
				asked := get(bearer(raw))
				ctx, cancel := context.WithCancel(t.Context())
				if r.IntN(3) == 0 {
					time.AfterFunc(time.Duration(r.IntN(2000))*time.Microsecond, cancel)
				}
				answer, err := e.client.Check(ctx, e.request(asked))
				gone := ctx.Err() != nil
				cancel()
				if err != nil {
					if !gone {
						t.Errorf("%s: %v", user, err)
						return
					}
					continue
				}
				out, err := apply(asked, answer)
				if err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
				if raw == good && (len(out.upstream["x-auth-role"]) != 1 || out.upstream["x-auth-role"][0] != user) {
					t.Errorf("%s got %+v", user, out)
					return
				}
				if raw == bad && (out.upstream != nil || out.headers[HeaderCode] != "invalid_token") {
					t.Errorf("%s got %+v for a bad token", user, out)
					return
				}
			}
		})
	}
	group.Wait()
}
