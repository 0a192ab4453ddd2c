package tokenhttp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/store"
)

// raceWindow is how soon after a rotation the token just replaced comes again from a client that asked twice at once,
// such as two tabs. Later, it is one whose answer was lost.
const raceWindow = time.Second

// The results of a refresh with a token that was replaced already.
const (
	resultRaced    = "raced"
	resultRetried  = "retried"
	resultLate     = "late"
	resultReplayed = "replayed"
)

// repeated tells what a token that was replaced, and answered with its successor, was.
func repeated(f store.Family, now time.Time) string {
	if now.Sub(f.LastUsed) < raceWindow {
		return resultRaced
	}
	return resultRetried
}

// reused tells what a token that ended its family was: the one replaced last, shown too late, or an older one.
func reused(f store.Family, presented store.Token) string {
	if f.Generation > 0 && f.Previous.Equal(presented.Hash()) {
		return resultLate
	}
	return resultReplayed
}

// maxDenials bounds the audit lines about refused logins, which strangers cause, in one second.
const maxDenials = 50

// denials counts the lines of the current second. The zero value is ready; it is safe for concurrent use.
type denials struct {
	mu      sync.Mutex
	second  int64
	lines   int
	dropped int
}

// take tells whether one more line may be written, and how many were not since the last that was.
func (d *denials) take(now time.Time) (write bool, dropped int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if second := now.Unix(); second != d.second {
		d.second, d.lines = second, 0
	}
	if d.lines >= maxDenials {
		d.dropped++
		return false, 0
	}
	d.lines++
	dropped, d.dropped = d.dropped, 0
	return true, dropped
}

// auditKey is what names in the log are hashed with. Each process makes its own: nobody who has the log can find out by
// guessing what somebody typed, and lines of one process about one name are found by each other.
type auditKey [sha256.Size]byte

func newAuditKey() (k auditKey) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// account stands for a name in the log, in any of its spellings.
func (k auditKey) account(name string) string {
	if canonical, err := identity.Canonical(name); err == nil {
		name = canonical
	}
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(accountKey(name)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:12]
}

// auditDenied notes a login that was refused because of who asked, and no other. The name is what somebody typed, at times
// a password: it is not told, only what stands for it.
func (s *Service) auditDenied(result, name string, client netip.Addr, now time.Time) {
	if result != "denied" && result != "account_limited" {
		return
	}
	if write, dropped := s.denials.take(now); write {
		s.Log.Info("login", "result", result, "account", s.auditKey.account(name), "client", client.String(), "lines_dropped", dropped)
	}
}

// auditReuse notes that a refresh token ended its session.
func (s *Service) auditReuse(kind string, f store.Family, client netip.Addr) {
	s.Log.Warn("refresh_token_reused", "kind", kind, "sid", f.SessionID, "user", f.Subject, "generation", f.Generation, "client", client.String())
}

// auditLogout notes the sessions that a logout ended. Where it ended none there is nothing to note: anybody can invent
// tokens that nobody knows.
func (s *Service) auditLogout(r *http.Request, doc *Document, what ended, propagated bool) {
	if len(what.sessions) == 0 && !what.legacy.live() {
		return
	}
	client, _ := clientAddress(r, doc.TrustedProxies)
	ids := make([]string, 0, len(what.sessions))
	for _, e := range what.sessions {
		ids = append(ids, e.id)
	}
	line := []any{"sids", ids, "propagated", propagated, "client", client.String()}
	if what.legacy.live() {
		line = append(line, "session", what.legacy.hash()[:12])
	}
	s.Log.Info("logout", line...)
}
