package keys_test

import (
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

func emergencyStory(s *story) {
	s.run("tokenservice-a", "tokenservice-b", "edge-a")
	s.settle()
	s.now = s.now.Add(10 * day)
	s.tell("key-1 has leaked: somebody revokes it.")
	s.revoke = []string{"key-1"}
	s.plan()
	s.now = s.now.Add(500 * time.Millisecond)
	s.load("tokenservice-a", "edge-a")
	s.plan()
	s.now = s.now.Add(500 * time.Millisecond)
	s.load("tokenservice-b")
	s.plan()
	s.now = s.now.Add(500 * time.Millisecond)
	s.load("tokenservice-a", "tokenservice-b")
	s.plan()
	s.settle()
	s.tell("The next day the new key and its standby have leaked as well. tokenservice-b has stopped answering.")
	s.now = s.now.Add(day)
	s.pods[1].Reachable = false
	s.revoke = append(s.revoke, "key-2", "key-3")
	s.plan()
	s.now = s.now.Add(500 * time.Millisecond)
	s.load("tokenservice-a", "edge-a")
	s.plan()
	s.now = s.now.Add(bound)
	s.load("tokenservice-a", "edge-a")
	s.plan()
	s.tell("tokenservice-b answers again.")
	s.settle()
}

func unreadyStory(s *story) {
	s.policy.Standby = 0
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.tell("key-1 has leaked: somebody revokes it. No key stands by, and no replica answers.")
	s.revoke = []string{"key-1"}
	s.pods[0].Reachable, s.pods[1].Reachable = false, false
	s.plan()
	s.now = s.now.Add(time.Minute)
	s.plan()
	s.tell("The replicas answer again.")
	s.settle()
}

func algorithmStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.tell("The algorithm goes from ES256 to RS256.")
	s.policy.Algorithm = keys.RS256
	s.settle()
	s.wait() // prePublish
	s.wait() // verifyUntil
	s.tell("The algorithm goes back to ES256.")
	s.policy.Algorithm = keys.ES256
	s.settle()
	s.wait()
	s.wait()
}

func restoreStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	backup, secrets := s.ring.Clone(), s.copySecrets()
	s.tell("Somebody takes a backup.")
	s.wait() // the interval
	s.wait() // verifyUntil
	s.tell("key-2 has leaked: somebody revokes it.")
	s.revoke = []string{"key-2"}
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.tell("Somebody restores the backup: ring %d, without a word of what was revoked.", backup.Epoch)
	newer := kids(s.ring)
	s.ring, s.secrets, s.revoke = *backup, secrets, nil
	s.plan()
	s.rebuild(keys.Remains{Recorded: s.ring.Clone().Keys, EpochFloor: s.pods[0].Epoch, Newer: newer, Seen: s.remembered, SequenceFloor: s.highest, Restored: true})
	s.settle()
	s.wait()
	s.wait()
}

func (s *story) copySecrets() map[int64]keys.Key {
	out := map[int64]keys.Key{}
	for n, k := range s.secrets {
		out[n] = k
	}
	return out
}

func leftStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	s.now = s.now.Add(time.Hour)
	for _, a := range []keys.Algorithm{keys.RS256, keys.PS256} {
		s.tell("The algorithm goes to %s. The manager dies as soon as it has stored a key.", a)
		s.policy.Algorithm = a
		s.make(s.next().Generate)
		s.now = s.now.Add(time.Minute)
	}
	s.tell("The algorithm goes to EdDSA.")
	s.policy.Algorithm = keys.EdDSA
	s.settle()
	s.wait() // prePublish
	s.wait() // verifyUntil
}

func unheardStory(s *story) {
	s.run("tokenservice-a", "edge-a")
	s.settle()
	backup, secrets := s.ring.Clone(), s.copySecrets()
	s.tell("Somebody takes a backup.")
	s.now = s.now.Add(interval)
	s.write(s.next())
	s.tell("The manager dies before it has written a document. Somebody restores the backup, and nobody remembers ring %d.", s.ring.Epoch)
	s.ring, s.secrets = *backup.Clone(), secrets
	s.now = s.now.Add(time.Hour)
	s.settle()
	backup, secrets = s.ring.Clone(), s.copySecrets()
	s.tell("Somebody takes a backup.")
	s.now = s.now.Add(interval)
	s.write(s.next())
	s.documents = s.ring.Epoch
	s.tell("The manager dies when it has written the documents, and no replica has loaded one. Somebody restores the backup.")
	s.ring, s.secrets = *backup, secrets
	s.plan()
	s.rebuild(keys.Remains{Recorded: s.ring.Clone().Keys, EpochFloor: s.documents, Seen: s.remembered, SequenceFloor: s.highest, Restored: true})
	s.settle()
}
