package identity

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/secret"
)

var example = regexp.MustCompile("(?s)<!-- (played|answer): (login|lookup) ?([a-z ]*) -->\n```http\n(.*?)```")

// TestDocumentedWebhook plays every pair of docs/identity.md: what is sent is what the page shows, and each answer means
// what the page says.
func TestDocumentedWebhook(t *testing.T) {
	page, err := os.ReadFile("../../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]error{"known and right": nil, "known and wrong": ErrDenied, "unknown": errUnknown, "gone": ErrGone, "failure": ErrUnavailable}
	questions, answers := map[string]string{}, 0
	for _, m := range example.FindAllStringSubmatch(string(page), -1) {
		kind, endpoint, outcome, text := m[1], m[2], m[3], m[4]
		if kind == "played" {
			questions[endpoint] = text
			continue
		}
		want, known := outcomes[outcome]
		if !known {
			t.Errorf("the page has an outcome %q", outcome)
		}
		answers++
		var asked string
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = r.Method + " " + r.URL.Path + "\n" + r.Header.Get("Content-Type") + "\n" + r.Header.Get("Accept") + "\n" + r.Header.Get("Authorization") + "\n" + string(body)
			play(t, w, text)
		})
		h := hook(t, webhookSource("shop", base))
		write(t, h.dir, "shop/token", "s3cr3t\n")
		source := h.entries[0].source
		var got error
		var user User
		if endpoint == "login" {
			user, got = source.authenticate(t.Context(), "alice", secret.NewText("correct horse"))
		} else {
			user, got = source.lookup(t.Context(), User{Subject: "shop:4711", Name: "4711", Source: "shop"})
		}
		if !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s %s: %v\n%s", endpoint, outcome, got, text)
		}
		if want == nil && (user.Name != "4711" || user.Role == "") {
			t.Errorf("%s %s: %+v", endpoint, outcome, user)
		}
		if shown := shownQuestion(t, questions[endpoint]); asked != shown {
			t.Errorf("%s: the page shows\n%s\nsent was\n%s", endpoint, shown, asked)
		}
	}
	if answers < 9 || len(questions) != 2 {
		t.Errorf("the page has %d answers and %d questions", answers, len(questions))
	}
}

func shownQuestion(t *testing.T, text string) string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	_, body, _ := strings.Cut(text, "\n\n")
	return r.Method + " " + r.URL.Path + "\n" + r.Header.Get("Content-Type") + "\n" + r.Header.Get("Accept") + "\n" + r.Header.Get("Authorization") + "\n" + strings.TrimSpace(body)
}

// play answers with what the page shows.
func play(t *testing.T, w http.ResponseWriter, text string) {
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.TrimSpace(body)
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader([]byte(head+"\n\n"+body))), nil)
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
		return
	}
	_ = response.Body.Close()
	w.Header()["Content-Type"] = nil
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.WriteString(w, body)
}
