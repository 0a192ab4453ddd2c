package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/secret"
)

// Bounds of what a hash in a file may cost. A line past them is refused: one login must not stop all others.
const (
	maxBcryptCost    = 14
	maxArgonMemory   = 256 << 10 // KiB
	maxArgonTime     = 16
	maxArgonThreads  = 16
	maxArgonTotal    = 1 << 20 // KiB of memory times passes
	bcryptMaxPass    = 72
	minArgonSaltLen  = 8
	maxArgonSaltLen  = 64
	minArgonTagLen   = 16
	maxArgonTagLen   = 64
	bcryptSaltAndSum = 53
)

var (
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$`)
	argonForm  = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,5}),p=([1-9]\d{0,2})\$([A-Za-z0-9+/]{1,128})\$([A-Za-z0-9+/]{1,128})$`)
)

// cost is what a hash costs to check; hashes of one cost take the same time.
type cost struct {
	bcrypt       int // 0 for argon2id
	memory, time uint32
	threads      uint8
	saltLen, tag int
}

// bytes is how much memory a check takes.
func (c cost) bytes() int64 {
	if c.bcrypt > 0 {
		return 8 << 10
	}
	return int64(c.memory) << 10
}

// hash is one stored password hash.
type hash struct {
	cost
	text secret.Bytes // bcrypt: the whole hash
	salt secret.Bytes // argon2id
	sum  secret.Bytes // argon2id
}

// parseHash reads a bcrypt hash or an argon2id PHC string. Errors never quote it.
func parseHash(text string) (hash, error) {
	if m := bcryptForm.FindStringSubmatch(text); m != nil {
		c, err := strconv.Atoi(m[1])
		if err != nil || c < bcrypt.MinCost || c > maxBcryptCost {
			return hash{}, fmt.Errorf("bcrypt cost must be %d to %d", bcrypt.MinCost, maxBcryptCost)
		}
		return hash{cost: cost{bcrypt: c}, text: secret.New([]byte(text))}, nil
	}
	m := argonForm.FindStringSubmatch(text)
	if m == nil {
		return hash{}, errors.New("the hash must be bcrypt ($2a$, $2b$, $2y$) or argon2id ($argon2id$v=19$m=…,t=…,p=…$salt$hash)")
	}
	memory, err1 := strconv.ParseUint(m[1], 10, 32)
	passes, err2 := strconv.ParseUint(m[2], 10, 32)
	threads, err3 := strconv.ParseUint(m[3], 10, 8)
	if errors.Join(err1, err2, err3) != nil || memory > maxArgonMemory || passes > maxArgonTime || threads > maxArgonThreads ||
		memory < 8*threads || memory*passes > maxArgonTotal {
		return hash{}, fmt.Errorf("argon2id needs 8·p ≤ m ≤ %d (KiB), t ≤ %d, p ≤ %d, m·t ≤ %d", maxArgonMemory, maxArgonTime, maxArgonThreads, maxArgonTotal)
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(m[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(m[5])
	if errors.Join(err1, err2) != nil || len(salt) < minArgonSaltLen || len(salt) > maxArgonSaltLen || len(sum) < minArgonTagLen || len(sum) > maxArgonTagLen {
		return hash{}, fmt.Errorf("argon2id needs a salt of %d to %d bytes and a hash of %d to %d, in base64 without padding",
			minArgonSaltLen, maxArgonSaltLen, minArgonTagLen, maxArgonTagLen)
	}
	c := cost{memory: uint32(memory), time: uint32(passes), threads: uint8(threads), saltLen: len(salt), tag: len(sum)}
	return hash{cost: c, salt: secret.New(salt), sum: secret.New(sum)}, nil
}

// matches does the whole work whatever the password.
func (h hash) matches(password []byte) bool {
	if h.bcrypt > 0 {
		fits := len(password) <= bcryptMaxPass
		if !fits {
			password = password[:bcryptMaxPass]
		}
		return bcrypt.CompareHashAndPassword(h.text.Reveal(), password) == nil && fits
	}
	if h.time == 0 {
		return false // the zero hash
	}
	sum := argon2.IDKey(password, h.salt.Reveal(), h.time, h.memory, h.threads, uint32(h.tag))
	return subtle.ConstantTimeCompare(sum, h.sum.Reveal()) == 1
}

// dummy returns a hash that costs c and matches no password that anybody could find.
func (c cost) dummy() hash {
	if c.bcrypt > 0 {
		const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		var random [bcryptSaltAndSum]byte
		_, _ = rand.Read(random[:])
		for i, b := range random {
			random[i] = alphabet[b%64]
		}
		return hash{cost: c, text: secret.New(fmt.Appendf(nil, "$2a$%02d$%s", c.bcrypt, random[:]))}
	}
	salt, sum := make([]byte, c.saltLen), make([]byte, c.tag)
	_, _ = rand.Read(salt)
	_, _ = rand.Read(sum)
	return hash{cost: c, salt: secret.New(salt), sum: secret.New(sum)}
}
