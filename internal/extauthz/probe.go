package extauthz

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/probe"
)

// reasonProbe is the reason of the refusal of a probe. To the client it is an invalid token.
const reasonProbe policy.Reason = "probe"

// secretEvery is how often the secret of the feed is read while probes come, or what looks like one.
const secretEvery = time.Second

// probes recognises the probes of the manager. The zero value recognises none.
type probes struct {
	dir string // of the feed's credentials; empty: there are none

	mu   sync.Mutex
	read time.Time
	key  probe.Key
}

// current is the key of the secret as it is mounted. One that cannot be read recognises nothing.
func (p *probes) current(now time.Time) probe.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir != "" && (p.read.IsZero() || now.Sub(p.read) >= secretEvery) {
		p.read, p.key = now, probe.Key{}
		if raw, err := os.ReadFile(filepath.Join(p.dir, "token")); err == nil {
			p.key, _ = probe.NewKey(raw)
		}
	}
	return p.key
}

// probed recognises a probe, wherever the policy looks for tokens, and makes the refusal by which it is answered. A probe
// is refused whatever was decided; what was decided about it is what any worthless token would get.
func (a *Authorizer) probed(edge *Edge, p *access, q question, in policy.Input, decided policy.Decision, now time.Time) (outcome, bool) {
	if p == nil || len(q.authorization) != 1 {
		return outcome{}, false
	}
	raw, reason := bearerToken(q.authorization)
	if reason != "" || !probe.LooksLike(raw) {
		return outcome{}, false
	}
	key := a.probes.current(now)
	nonce, genuine := key.Read(raw, q.policy, now)
	if !genuine {
		return outcome{}, false
	}
	in.Header = policy.Credential{Outcome: policy.Absent, Reason: policy.NoCredential}
	out := outcome{Decision: policy.Deny(reasonProbe), id: a.nextID()}
	out.challenge = edge.challenge + ", " + key.Answer(nonce, q.policy, stance(p, policy.Decide(in), decided))
	a.logDenial(q, out, now)
	a.metrics.decided(q.protocol, out.Decision, a.now().Sub(now))
	return out, true
}

// stance tells what becomes of a request without a credential, and of one with a worthless token.
func stance(p *access, nothing, worthless policy.Decision) probe.Stance {
	switch {
	case p.Audit:
		return probe.Audits
	case worthless.Allow:
		return probe.Open
	case nothing.Allow:
		return probe.Anonymous
	}
	return probe.Refuses
}
