package keys_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

var update = flag.Bool("update", false, "rewrite the golden stories")

// story is a small, obedient world that is told in prose.
type story struct {
	now     time.Time
	policy  keys.Policy
	ring    keys.Ring
	secrets map[int64]keys.Key
	pods    []*keys.Replica
	text    strings.Builder
	said    string // the last on-call line
	request string
	revoke  []string
	brought []keys.Key // what the owner's Secret holds
	// What the edges' document holds, and the highest number that a Secret ever had.
	remembered []keys.Key
	highest    int64
	found      map[string]string // what was told last
	documents  int64             // the epoch of the newest document, where it matters
}

func newStory() *story {
	return &story{now: noon, policy: policy(propagation), secrets: map[int64]keys.Key{}, found: map[string]string{}}
}

func (s *story) tell(format string, args ...any) {
	since := s.now.Sub(noon)
	fmt.Fprintf(&s.text, "day %2d %s  %s\n", since/day, time.Time{}.Add(since%day).Format("15:04:05"), fmt.Sprintf(format, args...))
}

func (s *story) observed() keys.Observed {
	o := keys.Observed{Ring: *s.ring.Clone(), Material: map[string]keys.MaterialState{}, RotateRequested: s.request, Revoke: s.revoke, Offered: s.brought, EpochFloor: s.documents}
	if s.policy.Brought {
		o.NoneLeft = "Secret my-keys holds no key that was not used yet: add an entry"
	}
	for _, k := range s.ring.Keys {
		o.Material[k.KID] = keys.MaterialMissing
		if _, ok := s.secrets[k.Sequence]; ok {
			o.Material[k.KID] = present
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(s.secrets)) {
		k := s.secrets[seq]
		if o.Stored = append(o.Stored, seq); seq >= s.ring.NextSequence && o.Generated == nil {
			o.Generated = &k
		}
	}
	for _, p := range s.pods {
		o.Replicas = append(o.Replicas, *p)
	}
	return o
}

// next asks the planner, and shows it the keys that it wants made and that exist already.
func (s *story) next() keys.Plan {
	o, last := s.observed(), int64(0)
	for {
		p := keys.Next(s.now, s.policy, o)
		if p.Generate == nil {
			return p
		}
		k, exists := s.secrets[p.Generate.Sequence]
		if !exists {
			return p
		}
		if s.tell("There is a private Secret number %d already.", k.Sequence); k.Sequence <= last {
			s.tell("It goes round in circles.")
			return keys.Plan{}
		}
		last, o.Generated = k.Sequence, &k
	}
}

// plan carries out plans until nothing changes any more.
func (s *story) plan() keys.Plan {
	for {
		p := s.next()
		if p.Generate != nil {
			delete(s.found, string(keys.NoKeyLeft)) // should it come back, it is news
		}
		for _, f := range p.Findings {
			if f.Kind != keys.StandbyMissing && s.found[string(f.Kind)+f.KID] != f.Message {
				s.found[string(f.Kind)+f.KID] = f.Message
				s.tell("! %s: %s.", f.Kind, f.Message)
			}
		}
		for _, seq := range p.Remove {
			delete(s.secrets, seq)
			s.tell("The private Secret number %d is deleted.", seq)
		}
		if g := p.Generate; g != nil && g.Take != "" {
			s.take(g)
		} else if g != nil {
			s.make(g)
		}
		if p.Ring != nil {
			s.write(p)
		}
		if !p.Again() && len(p.Remove) == 0 {
			if p.Message != "" && p.Message != s.said {
				s.tell("On call: %s.", p.Message)
			}
			s.said = p.Message
			return p
		}
	}
}

func (s *story) make(g *keys.Generate) {
	kid := fmt.Sprintf("key-%d", g.Sequence)
	s.secrets[g.Sequence] = keys.Key{KID: kid, Algorithm: g.Algorithm, Bits: g.Bits, Sequence: g.Sequence, PublicJWK: []byte(kid)}
	s.tell("A private key is made and stored: number %d, %s.", g.Sequence, g.Algorithm)
}

func (s *story) write(p keys.Plan) {
	for _, t := range p.Transitions {
		verb := map[keys.State]string{
			keys.Pending: "waits for the replicas", keys.Published: "is published", keys.Active: "signs", keys.Retiring: "verifies only", keys.Removed: "is removed", keys.Revoked: "is revoked for ever",
		}[t.To]
		s.tell("Ring %d: %s %s (%s).", p.Ring.Epoch, t.KID, verb, t.Reason)
	}
	for _, k := range p.Ring.Keys {
		if o := s.ring.Key(k.KID); o != nil && !k.VerifyUntil.Equal(o.VerifyUntil) {
			s.tell("Ring %d: %s verifies for another %s.", p.Ring.Epoch, k.KID, k.VerifyUntil.Sub(s.now))
		}
		if o := s.ring.Key(k.KID); o != nil && o.State == keys.Active && k.State == keys.Active && k.MaxTTL != o.MaxTTL {
			s.tell("Ring %d: %s may sign for %s.", p.Ring.Epoch, k.KID, k.MaxTTL)
		}
	}
	s.ring = *p.Ring
	s.remembered, s.highest = nil, max(s.highest, s.ring.NextSequence-1)
	for _, k := range s.ring.Keys {
		s.remembered = append(s.remembered, unnumbered(k))
	}
}

// load lets a pod take the newest document.
func (s *story) load(names ...string) {
	for _, p := range s.pods {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		if p.Epoch == s.ring.Epoch && p.Reachable {
			continue
		}
		p.Reachable, p.Epoch, p.KIDs = true, s.ring.Epoch, kids(s.ring)
		if a := s.ring.Active(); a != nil && p.Signer {
			p.ActiveKID = a.KID
		}
		s.tell("%s loads ring %d.", p.Name, s.ring.Epoch)
	}
}

// settle waits, loads and plans until everything has come to rest.
func (s *story) settle() {
	for range 20 {
		epoch := s.ring.Epoch
		s.plan()
		s.now = s.now.Add(2 * time.Second)
		s.load()
		if s.plan(); s.ring.Epoch == epoch {
			return
		}
	}
	s.tell("It never comes to rest.")
}

// wait jumps to the instants that the plan names until one of them changes something.
func (s *story) wait() {
	epoch := s.ring.Epoch
	for range 100 {
		s.now = s.now.Add(s.plan().Requeue)
		if s.settle(); s.ring.Epoch != epoch {
			return
		}
	}
	s.tell("Nothing happens any more.")
}

func (s *story) run(names ...string) {
	for _, n := range names {
		s.pods = append(s.pods, &keys.Replica{Name: n, Signer: strings.HasPrefix(n, "token"), Reachable: true})
		s.tell("%s starts.", n)
	}
}

func rotationStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.wait() // the interval
	s.wait() // verifyUntil
	s.tell("Somebody asks for a rotation.")
	s.request = "now"
	s.settle()
	s.wait() // prePublish
	s.tell("The access-token lifetime goes from 15m to 1h.")
	s.policy.AccessTTL = time.Hour
	s.settle()
}

func lateEdgeStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.now = s.now.Add(29 * day)
	s.run("edge-b")
	s.pods[2].Reachable = false
	s.plan()
	s.now = s.now.Add(4 * day)
	s.plan()
	s.tell("edge-b can be reached again.")
	s.load("edge-b")
	s.settle()
}

func lostKeyStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.tell("Somebody deletes the private Secret of the Active key.")
	delete(s.secrets, s.ring.Active().Sequence)
	s.settle()
	s.wait()
	s.now = s.now.Add(time.Hour)
	s.tell("Somebody deletes the private Secret of the standby.")
	delete(s.secrets, s.ring.Standby().Sequence)
	s.settle()
}

func rebuiltRingStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.wait()
	s.tell("Somebody deletes the ring. The status and the private Secrets are left.")
	s.rebuild(keys.Remains{Recorded: statusOnly(s.ring.Clone().Keys...), EpochFloor: s.ring.Epoch})
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.tell("Somebody deletes the ring and the status. The private Secrets are left.")
	s.rebuild(keys.Remains{EpochFloor: s.ring.Epoch})
	s.settle()
	s.wait()
	s.wait()
}

func (s *story) rebuild(r keys.Remains) {
	for _, seq := range slices.Sorted(maps.Keys(s.secrets)) {
		r.Material = append(r.Material, s.secrets[seq])
	}
	s.ring = keys.Rebuild(s.now, s.policy, r)
	for _, k := range s.ring.Keys {
		s.tell("Ring %d, rebuilt: %s is %s.", s.ring.Epoch, k.KID, k.State)
	}
}

func TestStories(t *testing.T) {
	for name, tell := range map[string]func(*story){
		"a rotation": rotationStory, "an edge out of reach": lateEdgeStory, "a lost key": lostKeyStory, "a rebuilt ring": rebuiltRingStory,
		"an emergency": emergencyStory, "an emergency without standby": unreadyStory, "an algorithm change": algorithmStory, "a restore": restoreStory,
		"a set whose keys are brought": broughtStory, "keys that nobody wants": leftStory, "a ring that nobody heard of": unheardStory,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tell(s)
			file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(s.text.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v: run the test with -update", err)
			}
			if got := s.text.String(); got != string(want) {
				t.Errorf("the story has changed; if it should, run with -update\n%s", got)
			}
		})
	}
}
