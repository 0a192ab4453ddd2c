package keysecret

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/token"
)

// MaxEntries is how many entries of an owner's Secret are read.
const MaxEntries = 32

// notKeys are the entries that other tools put beside a private key (kubernetes.io/tls, cert-manager, external-secrets).
var notKeys = []string{"tls.crt", "ca.crt"}

// Entry is what is known of one entry of an owner's Secret. It holds nothing of the private half.
type Entry struct {
	Name string
	// KID is the RFC 7638 thumbprint; empty if the entry is refused.
	KID string
	// Algorithms are what the key is good for, in the order of the documentation.
	Algorithms []keys.Algorithm
	// Bits is the size of an RSA modulus, else zero.
	Bits int
	// Refused says why the entry is no key that may sign, and how to mend it; empty: it is one.
	Refused string

	named string // the kid that a JWK gives itself
}

// Good tells whether the entry is a key for that algorithm.
func (e *Entry) Good(algorithm keys.Algorithm) bool {
	return e.Refused == "" && slices.Contains(e.Algorithms, algorithm)
}

// Source reads owners' Secrets. To judge an RSA key takes a tenth of a second, so it remembers what it found, by the SHA-256 of the
// entry and without the key. The zero value is ready; it is safe for concurrent use.
type Source struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]Entry
}

// maxKnown bounds what a Source remembers: past it, it begins again.
const maxKnown = 4096

// Entries judges what an owner's Secret holds, in the order of the names, which is the order in which keys are taken. Of entries
// with one key, or JWKs with one kid, the first stands and the others are refused.
func (s *Source) Entries(from *corev1.Secret) []Entry {
	var all []Entry
	for _, name := range entryNames(from) {
		var e Entry
		if len(all) < MaxEntries {
			e = s.judge(from.Data[name])
		} else {
			e.Refused = fmt.Sprintf("the Secret holds more than %d entries: remove those whose keys were removed", MaxEntries)
		}
		e.Name = name
		for i := range all {
			switch other := &all[i]; {
			case e.Refused != "" || other.Refused != "":
			case e.KID == other.KID:
				e = Entry{Name: name, Refused: fmt.Sprintf("it is the same key as entry %s: remove one of the two", other.Name)}
			case e.named != "" && e.named == other.named:
				e = Entry{Name: name, Refused: fmt.Sprintf("its JWK has the same kid as that of entry %s, and another key: remove one of the two, or give it a kid of its own", other.Name)}
			}
		}
		all = append(all, e)
	}
	return all
}

func entryNames(from *corev1.Secret) []string {
	var names []string
	for name := range from.Data {
		if !slices.Contains(notKeys, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Source) judge(content []byte) Entry {
	if len(content) > token.MaxBroughtBytes {
		return judged(content) // the first thing that is looked at: no need to remember it
	}
	sum := sha256.Sum256(content)
	s.mu.Lock()
	e, seen := s.known[sum]
	s.mu.Unlock()
	if seen {
		return e
	}
	e = judged(content)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxKnown {
		s.known = map[[sha256.Size]byte]Entry{}
	}
	s.known[sum] = e
	return e
}

func judged(content []byte) Entry {
	b, err := token.ParseBrought(secret.New(content).Reveal())
	if err != nil {
		return Entry{Refused: err.Error()}
	}
	e := Entry{KID: b.KID(), Bits: b.Bits(), named: b.Named()}
	for _, a := range b.Algorithms() {
		e.Algorithms = append(e.Algorithms, keys.Algorithm(a))
	}
	return e
}

// Take reads the private key of an entry, pinned to an algorithm. It must be the key that was judged.
func Take(from *corev1.Secret, entry *Entry, algorithm keys.Algorithm) (*token.PrivateKey, error) {
	b, err := token.ParseBrought(secret.New(from.Data[entry.Name]).Reveal())
	if err != nil {
		return nil, refuse(ReasonInvalid, "entry %s of Secret %s: %v", entry.Name, from.Name, err)
	}
	private, ok := b.Key(token.Algorithm(algorithm))
	if !ok || private.KID() != entry.KID {
		return nil, refuse(ReasonInvalid, "entry %s of Secret %s is another key than the one that was chosen", entry.Name, from.Name)
	}
	return private, nil
}

// Made tells whether a Secret is one of those in which Keyturn keeps keys itself.
func Made(s *corev1.Secret) bool { return s.Type == KeyType || s.Type == RingType }
