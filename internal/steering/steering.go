package steering

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Steering is the rollout of one document. It is immutable and safe for concurrent use; nil is a service without
// legacy sessions.
type Steering struct {
	rules   rollout.Rules
	watched rollout.Cohort
	// percent is the share in force, key what counts are counted by.
	percent int
	key     string
	// slowAfter is how long an event may take; 0: as long as it likes.
	slowAfter time.Duration
	cookie    string
	life      time.Duration
	headers   []Header
}

// Header is one line of an answer.
type Header struct{ Name, Value string }

// defaultSessionLife is how long a revoked session is remembered where the document does not say.
const defaultSessionLife = 30 * 24 * time.Hour

// New reads the rollout of a document; nil gives nil. It refuses one that would do something else than it says.
func New(r *snapshot.Rollout) (*Steering, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // there are no legacy sessions
	}
	if err := check(r); err != nil {
		return nil, fmt.Errorf("rollout: %w", err)
	}
	rules := Rules(r)
	s := &Steering{rules: rules, watched: rules.Cohort, percent: r.Percent, cookie: r.Cookie, life: r.MaxSessionLife.Std(), headers: headers(r)}
	s.watched.Percent, s.slowAfter = r.Watched, r.SlowAfter.Std()
	if s.life == 0 {
		s.life = defaultSessionLife
	}
	s.key = fmt.Sprintf("%s %q %d %q %q", r.Name, r.Salt, r.Watched, r.Include, r.Exclude)
	if s.slowAfter > 0 {
		s.key += " " + s.slowAfter.String() // what was slow before may not be now
	}
	return s, nil
}

// Rules are the rules of a document; nil gives those of a service without legacy sessions.
func Rules(r *snapshot.Rollout) rollout.Rules {
	if r == nil {
		return rollout.Rules{}
	}
	rules := rollout.Rules{
		Enabled: true, DualIssue: r.DualIssue,
		Cohort:   rollout.Cohort{Salt: r.Salt, Percent: r.Percent, Include: set(r.Include), Exclude: set(r.Exclude)},
		Schedule: rollout.Schedule{Deprecation: r.Deprecation, Sunset: r.Sunset, SunsetReached: r.SunsetReached},
	}
	for _, b := range r.Brownouts {
		rules.Schedule.Brownouts = append(rules.Schedule.Brownouts, rollout.Brownout{Start: b.Start, Duration: b.Duration.Std(), Percent: b.Percent})
	}
	return rules
}

func set(users []string) map[string]bool {
	if len(users) == 0 {
		return nil
	}
	m := make(map[string]bool, len(users))
	for _, user := range users {
		m[user] = true
	}
	return m
}

func check(r *snapshot.Rollout) error {
	percent := func(p int) bool { return p >= 0 && p <= 100 }
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{isCookieName(r.Cookie), "cookie must be the name of a cookie"},
		{!strings.HasPrefix(r.Cookie, "__Host-keyturn-") && !strings.HasPrefix(r.Cookie, "__Secure-keyturn-"), "cookie is one of the token cookies"},
		{percent(r.Percent) && percent(r.Watched), "percent and watched must be 0 to 100"},
		{r.SlowAfter >= 0, "slowAfter must not be negative"},
		{r.MaxSessionLife >= 0, "maxSessionLife must not be negative"},
		{r.Link == "" || isLink(r.Link), "link must be an absolute https URL"},
	} {
		if !c.ok {
			return errors.New(c.what)
		}
	}
	for _, b := range r.Brownouts {
		if b.Start.IsZero() || b.Duration <= 0 || !percent(b.Percent) {
			return errors.New("each of brownouts needs a start, a duration above 0 and a percent of 0 to 100")
		}
	}
	return nil
}

// isCookieName tells whether s is a token (RFC 6265, section 4.1.1).
func isCookieName(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", s[i]) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// isLink tells whether s may stand in a Link header.
func isLink(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || strings.IndexByte("<>\"\\", s[i]) >= 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(s) <= 2048
}

// headers are those of RFC 9745 (a structured date), RFC 8594 (an HTTP date) and RFC 8288.
func headers(r *snapshot.Rollout) []Header {
	var all []Header
	var links []string
	link := func(rel string) {
		if r.Link != "" {
			links = append(links, fmt.Sprintf("<%s>; rel=%q", r.Link, rel))
		}
	}
	if !r.Deprecation.IsZero() {
		all = append(all, Header{"Deprecation", "@" + strconv.FormatInt(r.Deprecation.Unix(), 10)})
		link("deprecation")
	}
	if !r.Sunset.IsZero() {
		all = append(all, Header{"Sunset", r.Sunset.UTC().Format(http.TimeFormat)})
		link("sunset")
	}
	if len(links) > 0 {
		all = append(all, Header{"Link", strings.Join(links, ", ")})
	}
	return all
}

// Rules are what steers.
func (s *Steering) Rules() rollout.Rules {
	if s == nil {
		return rollout.Rules{}
	}
	return s.rules
}

// Cookie is the name of the cookie with a legacy session; empty where there are none.
func (s *Steering) Cookie() string {
	if s == nil {
		return ""
	}
	return s.cookie
}

// SessionLife is the longest that a legacy session may live: a revoked one is remembered for so long.
func (s *Steering) SessionLife() time.Duration {
	if s == nil {
		return 0
	}
	return s.life
}

// Headers are the lines of an answer that a legacy session authenticated, once its end is announced
// ([rollout.Acceptance.Announce]). Do not change them.
func (s *Steering) Headers() []Header {
	if s == nil {
		return nil
	}
	return s.headers
}

// Announced tells whether the end of the sessions is announced at a moment, and has not come.
func (s *Steering) Announced(now time.Time) bool {
	return s != nil && s.rules.Schedule.Stage(now) == rollout.Deprecated
}

// Announce sets [Steering.Headers] if the end is announced at that moment.
func (s *Steering) Announce(h http.Header, now time.Time) {
	if !s.Announced(now) {
		return
	}
	for _, line := range s.headers {
		h.Set(line.Name, line.Value)
	}
}
