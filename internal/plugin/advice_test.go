package plugin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// apiConstants reads the string constants of the API that begin with a prefix, so that a new one cannot be forgotten here.
func apiConstants(t *testing.T, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, prefix) {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) < 10 {
		t.Fatalf("only %d constants %s*: is the file another one?", len(values), prefix)
	}
	return values
}

// TestEveryReasonHasAdvice holds the advices to the reasons of the API, in both directions.
func TestEveryReasonHasAdvice(t *testing.T) {
	fine := []string{v1alpha1.ReasonReady, v1alpha1.ReasonAccepted, v1alpha1.ReasonAsExpected, v1alpha1.ReasonResolved,
		v1alpha1.ReasonPromoted, v1alpha1.ReasonResumed, v1alpha1.ReasonBaking, v1alpha1.ReasonComplete, v1alpha1.ReasonEnforced, v1alpha1.ReasonProbed, v1alpha1.ReasonKeyTaken}
	reasons := apiConstants(t, "Reason")
	for _, reason := range reasons {
		if _, has := advices[reason]; has == slices.Contains(fine, reason) {
			t.Errorf("%s: advice %t", reason, has)
		}
	}
	for reason := range advices {
		if !slices.Contains(reasons, reason) {
			t.Errorf("advice for %s, which the API does not have", reason)
		}
		got := advice(&Problem{Reason: reason, Kind: "TokenService", Namespace: "demo", Name: "web", Message: "web-extauthz-1 has revision 1"})
		for _, left := range []string{"NS ", " NAME", "POD", "KIND", "pods.."} {
			if strings.Contains(got, left) {
				t.Errorf("%s: %q is left in %q", reason, left, got)
			}
		}
	}
}

// TestProblems walks through every condition of the API in both states: what is good is silent, what is bad is shown.
func TestProblems(t *testing.T) {
	for _, kind := range apiConstants(t, "Condition") {
		trueIsBad := slices.Contains(negative, kind)
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			set := settledSet()
			set.Status.Conditions = []metav1.Condition{condition(kind, string(status), v1alpha1.ReasonProgressing, "a message")}
			found := setProblems(set)
			want := !slices.Contains(neutral, kind) && (status == metav1.ConditionUnknown || (status == metav1.ConditionTrue) == trueIsBad)
			if (len(found) == 1) != want {
				t.Errorf("%s is %s: %d problems", kind, status, len(found))
			}
			if len(found) == 1 && (found[0].Severity == Unknown) != (status == metav1.ConditionUnknown) {
				t.Errorf("%s is %s: severity %s", kind, status, found[0].Severity)
			}
		}
	}
}

func TestProblemsOrderAndEchoes(t *testing.T) {
	set := stuckSet()
	found := setProblems(set)
	var got []string
	for _, p := range found {
		got = append(got, string(p.Severity)+" "+p.Condition)
	}
	// Ready repeats RotationOverdue, which quotes Published: both are left out, and what breaks Ready comes first.
	if want := []string{"Failure RotationOverdue", "Warning StandbyReady"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	set.Generation = 2
	if found = setProblems(set); len(found) != 1 || found[0].Reason != v1alpha1.ReasonNotObserved || !strings.Contains(found[0].Message, "generation 2, seen 1") {
		t.Errorf("a status about an older spec is shown as %+v", found)
	}
}

// TestAdviceNamesTheReplica that does not answer, not the first one of the message.
func TestAdviceNamesTheReplica(t *testing.T) {
	for message, want := range map[string]string{
		"web-extauthz-7c9f-aaaaa has revision 5, wants 6; web-extauthz-7c9f-bbbbb does not answer: x": "pod web-extauthz-7c9f-bbbbb",
		"web-tokenservice-0 does not answer":       "pod web-tokenservice-0",
		"kid 1 not yet loaded by web-extauthz-1-a": "pod web-extauthz-1-a",
		"somebody": "pod POD",
	} {
		if got := advice(&Problem{Reason: v1alpha1.ReasonReplicaUnreachable, Namespace: "demo", Message: message}); !strings.HasSuffix(got, want) {
			t.Errorf("%q: %q", message, got)
		}
	}
}
