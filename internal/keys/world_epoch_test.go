package keys_test

import (
	"slices"

	"github.com/keyturn/keyturn/internal/keys"
)

// plan asks the planner. A key that it wants made and that exists already, left by a run that died, is shown to it, and it is asked
// again: it takes that one in, or wants one of a higher sequence.
func (w *world) plan(o *keys.Observed) keys.Plan {
	for asked := int64(0); ; {
		plan := w.next(w.now(), w.policy, *o)
		if plan.Generate == nil {
			return plan
		}
		k, exists := w.secrets[plan.Generate.Sequence]
		if !exists {
			return plan
		}
		if plan.Generate.Sequence <= asked {
			w.fail("key %d is asked for again, although it was shown", plan.Generate.Sequence)
			return plan
		}
		asked, o.Generated = plan.Generate.Sequence, &k
		w.counts["keys that existed"]++
	}
}

// tell notes that status or document has an epoch. Only from then on can anybody but the ring itself know of it, because a replica
// learns of a ring by its document alone.
func (w *world) tell(epoch int64) { w.told = max(w.told, epoch) }

// judgeEpoch looks at a ring that is written or rebuilt: no epoch that was told once comes again, whoever has forgotten it since. An
// epoch that was never told may. If the manager dies between the write of a ring and that of the first document, and the ring is lost
// or a backup from just before takes its place, then the next ring has the number of the one that is gone: nothing in the world can
// tell, and nobody ever held the other.
func (w *world) judgeEpoch(epoch int64) {
	if epoch <= w.told {
		w.fail("epoch %d comes again: status or document have been at %d", epoch, w.told)
	}
	if epoch <= w.written {
		w.counts["epochs that nobody was told of"]++
	}
	w.written = max(w.written, epoch)
}

// epochFloor is what the manager reads of epochs apart from ring and replicas: the status, and its documents, which may be ahead of
// the status if it died between the two.
func (w *world) epochFloor() int64 {
	floor := w.floors[0]
	for _, d := range w.heads {
		floor = max(floor, d.epoch)
	}
	heard := func(p *pod) bool { return p.doc != nil && p.doc.epoch >= floor }
	if floor > w.floors[0] && (w.ring == nil || floor > w.ring.Epoch) && !slices.ContainsFunc(w.pods, heard) {
		w.counts["epochs that only a document knows"]++
	}
	return floor
}
