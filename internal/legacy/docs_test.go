package legacy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keyturn/keyturn/internal/snapshot"
)

var (
	example = regexp.MustCompile("(?s)<!-- (played|answer): (validate|issue|extend|revoke user|revoke) ?([a-z ]*) -->\n```http\n(.*?)```")
	shown   = regexp.MustCompile("(?s)<!-- layout: ([a-z]+) cookie=([^ ]+) secret=([^>]*?) user=([^ ]+) role=([^ ]+) -->\n```yaml\n(.*?)```\n+```redis\n(.*?)```")
)

func page(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/legacy-sessions.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDocumentedWebhooks plays every pair of docs/legacy-sessions.md: what is sent is what the page shows, and each answer
// means what the page says.
func TestDocumentedWebhooks(t *testing.T) {
	outcomes := map[string]error{"live": nil, "made": nil, "extended": nil, "ended": nil, "invalid": ErrInvalid, "failure": ErrUnavailable}
	questions, answers := map[string]string{}, 0
	for _, m := range example.FindAllStringSubmatch(page(t), -1) {
		kind, what, outcome, example := m[1], m[2], m[3], m[4]
		if kind == "played" {
			questions[what] = example
			continue
		}
		want, known := outcomes[outcome]
		if !known {
			t.Errorf("the page has an outcome %q", outcome)
		}
		answers++
		asked, err := play(t, what, example)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s %s: %v\n%s", what, outcome, err, example)
		}
		if shown := shownQuestion(t, questions[what]); asked != shown {
			t.Errorf("%s: the page shows\n%s\nsent was\n%s", what, shown, asked)
		}
	}
	if answers < 12 || len(questions) != 5 {
		t.Errorf("the page has %d answers and %d questions", answers, len(questions))
	}
}

// play asks an application that answers with an example, and returns what it was asked.
func play(t *testing.T, what, example string) (asked string, err error) {
	t.Helper()
	listen := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = strings.Join([]string{r.Method + " " + r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("Authorization"), string(body)}, "\n")
		reply(t, w, example)
	}
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if what == "extend" && r.URL.Path == "/legacy/introspect" {
			answering(200, jsonType, `{"active":true,"user_id":"4711","role":"admin"}`)(w, r)
			return
		}
		listen(w, r)
	})
	hook := func(path string) *snapshot.LegacyWebhook { return &snapshot.LegacyWebhook{URL: base + path} }
	w := newWorld(t)
	for _, part := range []string{"validator", "issuer", "revoker"} {
		w.file(t, part+"/token", "s3cr3t\n")
	}
	s := w.source(t, snapshot.Legacy{SubjectPrefix: "shop:", Validator: snapshot.LegacyValidator{HTTP: hook("/legacy/introspect")},
		Issuer: hook("/legacy/sessions"), Revoker: &snapshot.LegacyRevoker{HTTP: hook("/legacy/revoke")}})
	const cookie = "s%3AabcDEF123.c2lnbmF0dXJl"
	switch what {
	case "validate":
		var got Session
		if got, err = s.Validate(t.Context(), text(cookie)); err == nil && (got.User != "shop:4711" || got.Role != "admin") {
			t.Errorf("%+v", got)
		}
	case "issue":
		_, err = s.Issue(t.Context(), User{Subject: "shop:4711", Name: "alice", Role: "admin"})
	case "extend":
		_, err = s.Extend(t.Context(), text(cookie))
	case "revoke":
		err = s.Revoke(t.Context(), text(cookie))
	case "revoke user":
		err = s.RevokeUser(t.Context(), "shop:4711")
	}
	return asked, err
}

func shownQuestion(t *testing.T, example string) string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(example)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, example)
	}
	_, body, _ := strings.Cut(example, "\n\n")
	return strings.Join([]string{r.Method + " " + r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("Authorization"), strings.TrimSpace(body)}, "\n")
}

// reply answers with what the page shows.
func reply(t *testing.T, w http.ResponseWriter, example string) {
	head, body, _ := strings.Cut(example, "\n\n")
	body = strings.TrimSpace(body)
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader([]byte(strings.TrimSpace(head)+"\n\n"+body))), nil)
	if err != nil {
		t.Errorf("%v in\n%s", err, example)
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

// TestDocumentedLayouts puts the page's sessions into a real Redis and reads them by the page's configuration.
func TestDocumentedLayouts(t *testing.T) {
	server := realRedis(t)
	c := client(t, server)
	layouts := shown.FindAllStringSubmatch(page(t), -1)
	if len(layouts) != 2 {
		t.Fatalf("the page has %d layouts", len(layouts))
	}
	for _, m := range layouts {
		name, cookie, secret, user, role, config, commands := m[1], m[2], m[3], m[4], m[5], m[6], m[7]
		var legacy snapshot.Legacy
		var shown map[string]any
		err := yaml.Unmarshal([]byte(config), &shown)
		if err == nil {
			var asJSON []byte
			if asJSON, err = json.Marshal(shown); err == nil {
				err = json.Unmarshal(asJSON, &legacy)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		legacy.Validator.Redis.URL = "redis://" + server.Address() + "/0"
		for line := range strings.Lines(commands) {
			var args []any
			for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1) {
				if word == "LAST_ACCESS" {
					word = jsonNumber(time.Now().UnixMilli())
				}
				args = append(args, strings.Trim(word, "'"))
			}
			must(t, c.Do(t.Context(), args...).Err())
		}
		w := newWorld(t)
		w.file(t, "validator/secret", secret)
		got, err := w.source(t, legacy).Validate(t.Context(), text(cookie))
		if err != nil || got.User != user || got.Role != role || time.Until(got.Expires) > 30*time.Minute || time.Until(got.Expires) < 28*time.Minute {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func jsonNumber(n int64) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}
