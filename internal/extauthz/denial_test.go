package extauthz

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// problem is the body of a denial as encoding/json writes it.
type problem struct {
	Type     string      `json:"type"`
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Code     policy.Code `json:"code"`
	Detail   string      `json:"detail,omitempty"`
	Decision string      `json:"decision"`
}

// The body is written by hand, and is what encoding/json makes of it for every reason.
func TestProblemBody(t *testing.T) {
	reasons := []policy.Reason{
		policy.NoCredential, policy.MultipleCredentials, policy.ConflictingCredentials, policy.TooLarge, policy.MalformedToken, policy.EncryptedToken,
		policy.WrongIssuer, policy.ReasonExpired, policy.UnsupportedHeader, policy.WrongType, policy.AlgorithmMismatch, policy.MissingClaim, policy.WrongAudience,
		policy.NotYetValid, policy.LifetimeTooLong, policy.UnknownKey, policy.BadSignature, policy.ReasonRevoked, policy.NoPolicy, policy.SpoofedIdentity,
		policy.BadRequestTarget, policy.UntrustedPeer, policy.MissingDialectHeader, policy.CrossSite, policy.UnusableIdentity, policy.InsufficientRole,
		policy.AmbiguousPath, policy.NotReady, policy.StaleRevocations, policy.InternalError, policy.LegacySunset, policy.LegacyBrownout, policy.LegacyInvalid,
		policy.LegacyUnavailable, "never heard of",
	}
	for _, reason := range reasons {
		for _, login := range []string{"", "/login"} {
			out := outcome{Decision: policy.Deny(reason), id: "0011aabbccdd-1z"}
			out.LoginURL = login
			want, err := json.Marshal(problem{
				Type: "about:blank", Title: http.StatusText(out.HTTPStatus()), Status: out.HTTPStatus(), Code: out.Code, Detail: detail(out.Code), Decision: out.id,
			})
			check(t, err)
			got := appendProblem(nil, out)
			if string(got) != string(want)+"\n" || len(got) > problemRoom {
				t.Errorf("%s: %s, want %s", reason, got, want)
			}
		}
	}
}

// A flood writes so many lines a second for a reason, most of them evenly, and one that tells how many were left out; it takes no line from
// another reason, nor one about a fault of ours or from an audit.
func TestDenialsOfAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at := time.Unix(1_800_000_000, 0)
		deny := func(reason policy.Reason) {
			w.logDenial(question{protocol: "nginx", target: "/a?token=secret"}, outcome{Decision: policy.Deny(reason), id: "id"}, at)
		}
		count := func(reason policy.Reason) (n int) {
			for _, line := range w.log.lines(t, "denied") {
				if line["reason"] == string(reason) {
					n++
				}
			}
			return n
		}
		for range 3 * maxDenials {
			deny(policy.BadSignature)
			deny(policy.InternalError)
			w.logDenial(question{}, outcome{Decision: policy.Decision{Allow: true, Reason: policy.Audited, WouldDeny: policy.BadSignature}, id: "id"}, at)
		}
		deny(policy.ReasonExpired)
		for reason, want := range map[policy.Reason]int{policy.BadSignature: denialsAtOnce, policy.InternalError: 3 * maxDenials, policy.ReasonExpired: 1} {
			if got := count(reason); got != want {
				t.Errorf("%s: %d lines, want %d", reason, got, want)
			}
		}
		if got := len(w.log.lines(t, "would_deny")); got != 3*maxDenials {
			t.Errorf("an audit wrote %d lines", got)
		}
		const each = time.Millisecond // a flood that goes on
		for range time.Second/each - 1 {
			at = at.Add(each)
			deny(policy.BadSignature)
		}
		if got := count(policy.BadSignature); got > maxDenials || got < maxDenials-5 {
			t.Errorf("%d lines within a second", got)
		}
		at = at.Add(-time.Hour)
		deny(policy.BadSignature)
		if got := count(policy.BadSignature); got > maxDenials+1 || got < maxDenials-4 {
			t.Errorf("%d lines after the clock was set back", got)
		}
		w.tellAllDropped()
		w.tellAllDropped() // says nothing twice
		want := float64(3*maxDenials + 1000 - count(policy.BadSignature))
		if told := w.log.lines(t, "denials_dropped"); len(told) != 1 || told[0]["reason"] != string(policy.BadSignature) || told[0]["lines_dropped"] != want {
			t.Errorf("told of what was left out: %v, want %v lines", told, want)
		}
		if strings.Contains(w.log.String(), "secret") {
			t.Error("a query in the log")
		}
	})
}

// Who debugs sees every line.
func TestDenialsWhileDebugging(t *testing.T) {
	w := newWorld(t)
	w.Authorizer.log = slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for range 2 * maxDenials {
		w.logDenial(question{}, outcome{Decision: policy.Deny(policy.BadSignature)}, time.Unix(1_800_000_000, 0))
	}
	if got := len(w.log.lines(t, "denied")); got != 2*maxDenials {
		t.Errorf("%d lines", got)
	}
}

// What was left out is told also where nothing comes afterwards.
func TestDroppedDenialsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at := time.Unix(1_800_000_000, 0)
		for range denialsAtOnce + 5 {
			w.logDenial(question{}, outcome{Decision: policy.Deny(policy.ReasonExpired)}, at)
		}
		<-time.After(tellAfter)
		synctest.Wait()
		if lines := w.log.lines(t, "denials_dropped"); len(lines) != 1 || lines[0]["reason"] != string(policy.ReasonExpired) || lines[0]["lines_dropped"] != 5.0 {
			t.Errorf("told: %v", lines)
		}
	})
}
