package keys_test

import (
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

type row struct {
	name string
	pol  keys.Policy
	obs  keys.Observed
	want string
}

var (
	fresh   = key(2, keys.Pending, ago(time.Hour))
	warm    = key(2, keys.Published, ago(10*day))
	young   = key(2, keys.Published, ago(time.Hour))
	active  = key(1, keys.Active, ago(10*day))
	overdue = key(1, keys.Active, ago(31*day))
	old     = key(1, keys.Retiring, ago(time.Hour))
	second  = key(2, keys.Active, ago(time.Hour))
	third   = key(3, keys.Published, ago(10*day))
)

var rows = []row{
	// The first key.
	{"nothing at all: make a key", policy(), seen(keys.Ring{}), "generate 1 ES256; !StandbyMissing"},
	{"an RSA key has a size", policy(rsa), seen(keys.Ring{}), "generate 1 RS256 2048; !StandbyMissing"},
	{"a key left by a crash is adopted; nobody has it yet", policy(), seen(keys.Ring{}, generated(fresh)), "kid-2 >Pending Generated; !StandbyMissing"},
	{"no replica: the first key signs at once", policy(), seen(keys.Ring{}, noReplicas, generated(fresh)),
		"kid-2 >Pending Generated; kid-2 Pending>Active FirstKey; !StandbyMissing"},
	{"the first key signs once the replicas have it", policy(), seen(ring(key(1, keys.Pending, noon))),
		"kid-1 Pending>Published Acknowledged; kid-1 Published>Active FirstKey; !StandbyMissing"},
	{"an edge lacks the first key", policy(standby(0)), seen(ring(key(1, keys.Pending, noon)), lacks(1, "kid-1")), "-"},
	{"an unreachable edge blocks the first key", policy(standby(0)), seen(ring(key(1, keys.Pending, noon)), unreachable(1)), "-"},
	{"material unknown blocks the first key", policy(standby(0)), seen(ring(key(1, keys.Published, noon)), material("kid-1", "")), "-"},

	// Standby.
	{"active without standby: make one", policy(), seen(ring(active)), "generate 2 ES256; !StandbyMissing"},
	{"two standbys wanted, one there", policy(standby(2)), seen(ring(active, warm)), "generate 3 ES256; !StandbyMissing"},
	{"no standby wanted: nothing", policy(standby(0)), seen(ring(active)), "-"},
	{"no standby wanted, rotation near: make the next", policy(standby(0)), seen(ring(key(1, keys.Active, ago(31*day-2*time.Hour)))), "generate 2 ES256"},
	{"a generated key is adopted", policy(), seen(ring(active), generated(fresh)), "kid-2 >Pending Generated; !StandbyMissing"},
	{"a generated key of another algorithm is passed over", policy(rsa), seen(ring(active), generated(fresh)), "generate 3 RS256 2048; !StandbyMissing"},
	{"two left by two crashes, both of another algorithm, are passed over", policy(rsa), seen(ring(active), generated(key(3, keys.Pending, noon))), "generate 4 RS256 2048; !StandbyMissing"},
	{"one is passed over, a Secret that is spoiled, and another key", policy(rsa), seen(ring(active), generated(key(4, keys.Pending, noon)), func(o *keys.Observed) { o.Spoiled = []int64{3, 5} }),
		"generate 6 RS256 2048; !StandbyMissing"},
	{"behind one that was passed over lies one of the right kind", policy(), seen(ring(active), generated(key(3, keys.Pending, noon))), "kid-3 >Pending Generated; !StandbyMissing"},
	{"a spoiled Secret is passed over", policy(), seen(ring(active), func(o *keys.Observed) { o.Spoiled = []int64{2, 3} }), "generate 4 ES256; !StandbyMissing"},
	{"a buried kid never returns", policy(), seen(keys.Ring{Epoch: 40, NextSequence: 2, Keys: []keys.Key{active},
		Tombstones: []keys.Tombstone{{KID: "kid-2", State: keys.Revoked}}}, generated(fresh)), "generate 3 ES256; !StandbyMissing"},
	{"publication acknowledged", policy(), seen(ring(active, fresh)), "kid-2 Pending>Published Acknowledged"},
	{"an edge lacks it", policy(), seen(ring(active, fresh), lacks(1, "kid-2")), "!StandbyMissing"},
	{"a signer lacks it", policy(), seen(ring(active, fresh), lacks(0, "kid-2")), "!StandbyMissing"},
	{"an unreachable edge acknowledges nothing", policy(), seen(ring(active, fresh), unreachable(1)), "!StandbyMissing"},
	{"zero replicas acknowledge nothing", policy(), seen(ring(active, fresh), noReplicas), "!StandbyMissing"},
	{"a replica without a published key is seen", policy(), seen(ring(active, warm), lacks(1, "kid-2")), "kid-2 Published>Pending Unacknowledged; !StandbyMissing"},
	{"a replica that has loaded nothing serves nothing", policy(), seen(ring(active, warm), lacks(1, "kid-2"), func(o *keys.Observed) { o.Replicas[1].Epoch = 0 }), "-"},
	{"an unreachable replica does not unpublish", policy(), seen(ring(active, warm), unreachable(1)), "-"},

	// Rotation by time.
	{"not due", policy(), seen(ring(active, warm)), "-"},
	{"due and warm", policy(), seen(ring(overdue, warm)), "kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},
	{"due, prePublish not over", policy(), seen(ring(key(1, keys.Active, ago(30*day)), young)), "-"},
	{"due, an edge is unreachable", policy(), seen(ring(key(1, keys.Active, ago(30*day)), warm), unreachable(1)), "-"},
	{"overdue, an edge is unreachable", policy(), seen(ring(key(1, keys.Active, ago(40*day)), warm), unreachable(1)), "!RotationOverdue"},
	{"overdue, no replica: nothing signs", policy(), seen(ring(key(1, keys.Active, ago(40*day)), warm), noReplicas), "-"},
	{"due, private half not known to be sound", policy(), seen(ring(key(1, keys.Active, ago(30*day)), warm), material("kid-2", "")), "-"},
	{"manual: never due", policy(manual), seen(ring(key(1, keys.Active, ago(400*day)), warm)), "-"},
	{"days late with two standbys: one rotation", policy(standby(2)), seen(ring(key(1, keys.Active, ago(95*day)), warm, third)),
		"kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},

	// Requests and algorithm changes.
	{"requested and warm", policy(manual), seen(ring(active, warm), requested), "kid-1 Active>Retiring Requested; kid-2 Published>Active Requested; !StandbyMissing"},
	{"requested, prePublish is respected", policy(), seen(ring(active, young), requested), "-"},
	{"requested without standby", policy(standby(0)), seen(ring(active), requested), "generate 2 ES256"},
	{"handled already", policy(), seen(func() keys.Ring { r := ring(active, warm); r.RotateHandled = "2026-06-01T12:00:00Z"; return r }(), requested), "-"},
	{"new algorithm: make a key of it, keep the old standby meanwhile", policy(rsa), seen(ring(active, warm)), "generate 3 RS256 2048; !StandbyMissing"},
	{"new algorithm: the right standby replaces the wrong one", policy(rsa), seen(ring(active, warm, rsaKey(young, 3))), "kid-2 Published>Removed AlgorithmChanged"},
	{"new algorithm: rotate when prePublish is over", policy(rsa), seen(ring(active, rsaKey(warm, 3))), "kid-1 Active>Retiring AlgorithmChanged; kid-3 Published>Active AlgorithmChanged; !StandbyMissing"},
	{"new algorithm, manual: the edit is the request", policy(rsa, manual), seen(ring(active, rsaKey(warm, 3))), "kid-1 Active>Retiring AlgorithmChanged; kid-3 Published>Active AlgorithmChanged; !StandbyMissing"},
	{"changed back, no standby wanted: the wrong one goes", policy(standby(0)), seen(ring(active, rsaKey(warm, 3))), "kid-3 Published>Removed AlgorithmChanged"},

	// Retiring and removal.
	{"the switch is acknowledged", policy(standby(0)), seen(ring(old, second)), "kid-1 until +17m0s"},
	{"a longer token is out", policy(standby(0)), seen(ring(old, second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(time.Hour) }), "kid-1 until +1h2m0s"},
	{"a signer still signs with the old key", policy(standby(0)), seen(ring(old, second), signsWith("kid-1")), "-"},
	{"a signer cannot be asked", policy(standby(0)), seen(ring(old, second), unreachable(0)), "-"},
	{"an edge that cannot be asked does not matter", policy(standby(0)), seen(ring(old, second), unreachable(1)), "kid-1 until +17m0s"},
	{"zero signers acknowledge nothing", policy(standby(0)), seen(ring(old, second), onlyEdges), "-"},
	{"a signer falls back", policy(standby(0)), seen(ring(closed(old, future(time.Hour)), second), signsWith("kid-1")), "kid-1 open"},
	{"a signer's clock leapt by years", policy(standby(0)), seen(ring(old, second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(900 * day) }), "kid-1 until +17m0s"},
	{"a signer's clock leaps later", policy(standby(0)), seen(ring(closed(old, future(time.Minute)), second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(900 * day) }), "-"},
	{"a leap was recorded", policy(standby(0)), seen(ring(closed(old, future(900*day)), second), clocks(0)), "kid-1 until +17m0s"},
	{"a leap was recorded, a signer cannot be asked", policy(standby(0)), seen(ring(closed(old, future(900*day)), second), clocks(0), unreachable(0)), "kid-1 open"},
	{"the manager's clock may have gone back", policy(standby(0)), seen(ring(closed(old, future(900*day)), second)), "-"},
	{"a longer token comes to light", policy(standby(0)), seen(ring(closed(old, future(time.Minute)), second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(time.Hour) }), "kid-1 until +1h2m0s"},
	{"expired", policy(standby(0)), seen(ring(closed(old, ago(1)), second)), "kid-1 Retiring>Removed Expired"},
	{"expired to the instant: not yet", policy(standby(0)), seen(ring(closed(old, noon), second)), "-"},
	{"expired, a signer cannot be asked", policy(standby(0)), seen(ring(closed(old, ago(1)), second), unreachable(0)), "-"},
	{"expired, no signer left", policy(standby(0)), seen(ring(closed(old, ago(1)), second), noReplicas), "kid-1 Retiring>Removed Expired"},
	{"the Secret of a removed key goes", policy(standby(0)), seen(ring(second), func(o *keys.Observed) { o.Stored = []int64{1, 2, 3} }), "remove [1]"},

	// Lifetimes.
	{"a longer lifetime is told to the ring first", policy(lifetime(time.Hour)), seen(ring(active, warm)), "kid-1 ttl 1h0m0s"},
	{"a shorter one lowers nothing", policy(lifetime(time.Minute)), seen(ring(active, warm)), "-"},

	// Lost keys.
	{"the active key is lost: the standby takes over, prePublish or not", policy(), seen(ring(active, young), material("kid-1", keys.MaterialMissing)),
		"kid-1 Active>Retiring MaterialLost; kid-2 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"the active key is refused", policy(), seen(ring(active, young), material("kid-1", keys.MaterialInvalid)),
		"kid-1 Active>Retiring MaterialLost; kid-2 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"not known is not lost", policy(), seen(ring(active, warm), material("kid-1", "")), "-"},
	{"lost, and an edge is unreachable", policy(), seen(ring(active, warm), material("kid-1", keys.MaterialMissing), unreachable(1)), "!KeyMaterialLost"},
	{"lost, and the standby was published this minute", policy(), seen(ring(active, key(2, keys.Published, ago(time.Minute))), material("kid-1", keys.MaterialMissing)), "!KeyMaterialLost"},
	{"lost without standby", policy(standby(0)), seen(ring(active), material("kid-1", keys.MaterialMissing)), "generate 2 ES256; !KeyMaterialLost"},
	{"lost, no replica runs: any key takes over", policy(), seen(ring(active, fresh), material("kid-1", keys.MaterialMissing), noReplicas),
		"kid-1 Active>Retiring MaterialLost; kid-2 Pending>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"lost, no replica runs, and the key is new: the next pod might begin without it", policy(), seen(ring(active, key(2, keys.Pending, ago(2*time.Minute))), material("kid-1", keys.MaterialMissing), noReplicas),
		"!KeyMaterialLost; !StandbyMissing"},
	{"lost: a standby of the right kind is preferred", policy(rsa), seen(ring(active, warm, rsaKey(young, 3)), material("kid-1", keys.MaterialMissing)),
		"kid-2 Published>Removed AlgorithmChanged; kid-1 Active>Retiring MaterialLost; kid-3 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"a lost standby is dropped", policy(), seen(ring(active, warm), material("kid-2", keys.MaterialMissing)), "kid-2 Published>Removed MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"a lost retiring key does not matter", policy(standby(0)), seen(ring(closed(old, future(time.Hour)), second), material("kid-1", keys.MaterialMissing)), "-"},
	{"nothing is active after a rebuild: the first that everyone has", policy(), seen(ring(old, young)), "kid-2 Published>Active NoActive; !StandbyMissing"},

	// Clocks.
	{"a replica's clock is off a little", policy(), seen(ring(overdue, warm), clocks(90*time.Second)),
		"kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !ClockSkewed; !ClockSkewed; !StandbyMissing"},
	{"the replicas contradict the manager's clock", policy(), seen(ring(overdue, warm), clocks(-day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt keeps expired keys", policy(standby(0)), seen(ring(closed(old, ago(1)), second), clocks(-day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt closes nothing", policy(standby(0)), seen(ring(old, second), clocks(day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt publishes nothing", policy(standby(0)), seen(ring(active, fresh), clocks(day)), "!ClockSkewed; !ClockSkewed"},
	{"old reports are doubt", policy(), seen(ring(overdue, warm), func(o *keys.Observed) {
		for i := range o.Replicas {
			o.Replicas[i].Read, o.Replicas[i].Clock = ago(time.Hour), ago(time.Hour)
		}
	}), "-"},
	{"activated in the future: rotate", policy(), seen(ring(backTo(key(1, keys.Active, future(day)), ago(day)), warm), clocks(0)),
		"kid-1 Active>Retiring ClockCorrected; kid-2 Published>Active ClockCorrected; !StandbyMissing"},
	{"published in the future: once more", policy(), seen(ring(active, key(2, keys.Published, future(day))), clocks(0)),
		"kid-2 Published>Pending ClockCorrected; kid-2 Pending>Published Acknowledged"},
	{"the clock went back: nothing", policy(), seen(ring(key(1, keys.Active, future(day)), key(2, keys.Published, future(day)))), "-"},

	// Refusals.
	{"restored from a backup", policy(), seen(ring(active, warm), func(o *keys.Observed) { o.Replicas[1].Epoch = 41 }), "!RestoreDetected"},
	{"restored from a backup, and no replica runs", policy(), seen(ring(active, warm), noReplicas, func(o *keys.Observed) { o.EpochFloor = 41 }), "!RestoreDetected"},
	{"restored from a backup, and what is newer has not got beyond the documents", policy(), seen(ring(active, warm), func(o *keys.Observed) { o.EpochFloor = 41 }), "!RestoreDetected"},
	{"restored from a backup, and nobody was told of what is newer", policy(), seen(ring(overdue, warm), func(o *keys.Observed) { o.EpochFloor = 40 }),
		"kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},
	{"an edited ring", policy(), seen(ring(active, key(2, keys.Active, noon))), "!RingInvalid"},
	{"no algorithm", keys.Policy{}, seen(ring(active, warm)), "!PolicyInvalid; !StandbyMissing"},
	{"too small", policy(func(p *keys.Policy) { p.Algorithm, p.RSABits = keys.PS256, 1024 }), seen(ring(active)), "!PolicyInvalid; !StandbyMissing"},
}

func rsaKey(k keys.Key, seq int64) keys.Key {
	n := key(seq, k.State, k.Published)
	n.Algorithm, n.Bits = keys.RS256, 2048
	return n
}

// backTo corrects the time at which a key was published.
func backTo(k keys.Key, published time.Time) keys.Key {
	k.Created, k.Published = published, published
	return k
}
