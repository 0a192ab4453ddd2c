package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Census implements [CensusReader].
func (f *fleet) Census(_ context.Context, pod *corev1.Pod) (*snapshot.Census, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(pod.Name, "-tokenservice") {
		f.broken = append(f.broken, "a token service was asked for a census")
	}
	if f.faults["edge"].unreachable {
		return nil, errors.New("connection refused")
	}
	census := f.census
	census.Instance = pod.Name
	f.told++
	return &census, nil
}

// censuses returns how often an edge has told.
func (f *fleet) censuses() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// tells makes every edge tell this of those who use sessions.
func (f *fleet) tells(census snapshot.Census) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.census = census
}

func lines(pairs ...any) (out []snapshot.CensusLine) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, snapshot.CensusLine{Value: pairs[i].(string), Requests: uint64(pairs[i+1].(int))})
	}
	return out
}

// TestMergeCensus: only what edges tell is added up, whatever is left over at each of them.
func TestMergeCensus(t *testing.T) {
	day := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	got := mergeCensus([]*snapshot.Census{
		{Since: day.Add(time.Hour), Requests: 100, Routes: lines("/orders/*", 60, "/cart", 20), Agents: lines("curl", 80), Roles: lines("", 80)},
		// Here nine users have asked for /cart: the edge does not tell, and the sum does not either.
		{Since: day, Requests: 50, Routes: lines("/orders/*", 30), Agents: lines("curl", 10, "firefox", 30)},
	}, 3)
	want := &keyturnv1alpha1.LegacyCensus{
		Since: metav1.NewTime(day), Replicas: "2/3", Requests: 150,
		Routes: []keyturnv1alpha1.CensusLine{{Value: "/orders/*", Requests: 90}, {Value: "/cart", Requests: 20}},
		Agents: []keyturnv1alpha1.CensusLine{{Value: "curl", Requests: 90}, {Value: "firefox", Requests: 30}},
		Roles:  []keyturnv1alpha1.CensusLine{{Requests: 80}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Nine users at each of two edges, or one user at ten: no edge tells, and nothing comes into being by adding.
	alone := make([]*snapshot.Census, 10)
	for i := range alone {
		alone[i] = &snapshot.Census{Since: day, Requests: 1}
	}
	if got := mergeCensus(alone, 10); got.Requests != 10 || len(got.Routes)+len(got.Agents)+len(got.Roles) != 0 {
		t.Errorf("a crowd out of one: %+v", got)
	}
	if got := mergeCensus(nil, 2); got.Replicas != "" {
		t.Errorf("nobody answered: %+v", got)
	}
	// Whatever an edge says, the status stays small and takes it.
	var many []snapshot.CensusLine
	for i := range 64 {
		many = append(many, snapshot.CensusLine{Value: fmt.Sprintf("%02d%s", i, strings.Repeat("é", 100)), Requests: math.MaxUint64})
	}
	got = mergeCensus([]*snapshot.Census{{Requests: math.MaxUint64, Roles: many}, {Requests: 1, Roles: many}}, 2)
	if len(got.Roles) != maxCensusLines || len(got.Roles[0].Value) > maxCensusValue || got.Roles[0].Requests != 1<<62 || got.Requests != 1<<62 {
		t.Errorf("%d roles, the first %+v, %d requests", len(got.Roles), got.Roles[0], got.Requests)
	}
}

// TestCensusDays: every whole window is kept, in a bounded space, and none is lost when two become one.
func TestCensusDays(t *testing.T) {
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	var status keyturnv1alpha1.CensusStatus
	for hour := range 400 * 24 {
		countUsage(&status, start.Add(time.Duration(hour)*time.Hour), 1, 2)
		if len(status.Days) > maxCensusDays {
			t.Fatalf("%d days", len(status.Days))
		}
	}
	var sessions, tokens int64
	for i, day := range status.Days {
		sessions, tokens = sessions+day.Sessions, tokens+day.Tokens
		if i > 0 && !day.From.Equal(&status.Days[i-1].Until) {
			t.Errorf("a gap from %s to %s", status.Days[i-1].Until, day.From)
		}
	}
	if want := int64(400*24) - status.Current.Sessions; sessions != want || tokens != 2*want || len(status.Days) < maxCensusDays/2 {
		t.Errorf("%d sessions and %d tokens in %d days, want %d", sessions, tokens, len(status.Days), want)
	}
	if first := status.Days[0]; !first.From.Time.Equal(start) {
		t.Errorf("the story begins at %s", first.From)
	}
}

type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// TestAskedForCensus: another pod's answer, one that does not end, and what is no census are errors.
func TestAskedForCensus(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-extauthz-0"}, Status: corev1.PodStatus{PodIP: "10.1.2.3"}}
	for name, row := range map[string]struct {
		code int
		body string
		want string
	}{
		"good":        {200, `{"instance":"web-extauthz-0","requests":7}`, ""},
		"another pod": {200, `{"instance":"web-extauthz-1","requests":7}`, "answers as"},
		"no census":   {200, `<html>`, "no JSON"},
		"an old edge": {404, ``, "404"},
		"too long":    {200, `{"instance":"` + strings.Repeat("x", statusMaxBytes), "no JSON"},
	} {
		asks := &HTTPStatus{client: &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != "http://10.1.2.3:9090/census" {
				t.Errorf("asks %s", r.URL)
			}
			return &http.Response{StatusCode: row.code, Status: fmt.Sprint(row.code), Body: io.NopCloser(strings.NewReader(row.body))}, nil
		})}}
		got, err := asks.Census(t.Context(), pod)
		if row.want == "" {
			if err != nil || got.Requests != 7 {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewHTTPStatus().Census(t.Context(), &corev1.Pod{}); err == nil {
		t.Error("a pod without an address was asked")
	}
}

// TestCensusInStatus: what the edges tell is in the status after minutes, is not written again while it stays, and stays
// when nobody answers.
func TestCensusInStatus(t *testing.T) {
	w := newWorld(t)
	w.fleet.tells(snapshot.Census{Since: w.clock.Now(), Requests: 40, Routes: lines("/orders/*", 30), Agents: lines("curl", 40)})
	moving(w)
	has := func(what string, requests int64) *keyturnv1alpha1.LegacyCensus {
		w.Helper()
		var got keyturnv1alpha1.LegacyCensus
		w.eventually(what, func() string {
			if got = w.rollout().Status.Census.Legacy; got.Requests != requests {
				return fmt.Sprintf("%+v", got)
			}
			return ""
		})
		return &got
	}
	before := w.fleet.censuses() // when the first was asked, there may have been no edge yet
	w.clock.step(censusEvery)
	w.eventually("both edges are asked", func() string {
		if w.fleet.censuses() < before+2 {
			return "not yet"
		}
		return ""
	})
	first := has("two edges are added up", 80)
	if first.Replicas != "2/2" || len(first.Routes) != 1 || first.Routes[0].Requests != 60 {
		t.Errorf("%+v", first)
	}
	w.fleet.tells(snapshot.Census{Since: w.clock.Now(), Requests: 50})
	w.poke()
	w.polls(2)
	if again := w.fleet.censuses() - before - 2; again != 0 {
		t.Errorf("asked again at once: %d times", again)
	}
	w.clock.step(censusEvery)
	second := has("asked again after a while", 100)
	if second.ReadTime.Sub(first.ReadTime.Time) < censusEvery {
		t.Errorf("read at %s and %s", first.ReadTime, second.ReadTime)
	}
	w.fleet.set("edge", fault{unreachable: true})
	w.clock.step(3 * censusEvery)
	w.sees(keyturnv1alpha1.ConditionInForce, metav1.ConditionFalse, keyturnv1alpha1.ReasonReplicaUnreachable)
	has("nobody answers", 100)
	w.fleet.set("edge", fault{})
	w.sees(keyturnv1alpha1.ConditionInForce, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
	w.polls(3)
	version := w.rollout().ResourceVersion
	for range 4 {
		w.clock.step(2 * censusEvery)
		w.polls(2)
	}
	if now := w.rollout(); now.ResourceVersion != version {
		t.Errorf("nothing has changed, and it was written: %s", w.saying())
	}
}
