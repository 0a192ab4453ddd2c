package tokenhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"
)

// The document is read once: every test of this package holds what the service answers against it.
var openAPI = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

func describedAPI(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openAPI()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// seen is an answer by the document: an operation, a status and, for a problem, its code.
type seen struct {
	path   string
	status int
	code   string
}

// checked holds every answer of next, and every request that it takes, against the document.
func checked(t testing.TB, next http.Handler, note func(seen)) http.Handler {
	doc := describedAPI(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := *r
		var body bytes.Buffer
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &body), r.Body}
		copied := &copying{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(copied, r)
		asked.Body = io.NopCloser(&body)
		if err := check(doc, &asked, copied, note); err != nil {
			t.Errorf("docs/openapi.yaml does not allow %s %s: %d %.300q: %v", asked.Method, asked.URL.Path, copied.status, copied.body.String(), err)
		}
	})
}

// copying keeps what is answered.
type copying struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *copying) Unwrap() http.ResponseWriter { return c.ResponseWriter }
func (c *copying) WriteHeader(status int)      { c.status = status; c.ResponseWriter.WriteHeader(status) }
func (c *copying) Write(p []byte) (int, error) {
	c.body.Write(p)
	return c.ResponseWriter.Write(p)
}

func check(doc *openapi3.T, r *http.Request, answer *copying, note func(seen)) error {
	item := doc.Paths.Value(r.URL.Path)
	if item == nil || r.URL.RawPath != "" {
		return nil // TestOpenAPIRoutes has the others
	}
	method, operation := http.MethodGet, item.Get
	if item.Post != nil {
		method, operation = http.MethodPost, item.Post
	}
	if r.Method == http.MethodOptions && answer.status == http.StatusNoContent {
		return nil
	}
	if r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) && answer.status != http.StatusMethodNotAllowed {
		return fmt.Errorf("the method is not there")
	}
	response := operation.Responses.Status(answer.status)
	if response == nil {
		return fmt.Errorf("the status is not there")
	}
	if answer.Header().Get("X-Content-Type-Options") != "nosniff" {
		return fmt.Errorf("no nosniff")
	}
	var problem struct{ Code string }
	if answer.status >= 400 && r.Method != http.MethodHead {
		_ = json.Unmarshal(answer.body.Bytes(), &problem)
		if !slices.Contains(codesOf(response.Value), problem.Code) {
			return fmt.Errorf("the code is not in x-codes")
		}
	}
	if note != nil {
		note(seen{r.URL.Path, answer.status, problem.Code})
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, Route: &routers.Route{Spec: doc, Path: r.URL.Path, PathItem: item, Method: method, Operation: operation}, QueryParams: r.URL.Query(),
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, ExcludeResponseBody: r.Method == http.MethodHead},
	}
	if answer.status == http.StatusOK {
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.status, Header: answer.Header(), Body: io.NopCloser(bytes.NewReader(answer.body.Bytes())), Options: input.Options,
	})
}

// codesOf are the codes that an answer can have.
func codesOf(r *openapi3.Response) []string {
	var codes []string
	list, _ := r.Extensions["x-codes"].([]any)
	for _, code := range list {
		codes = append(codes, code.(string))
	}
	return codes
}

// The document has the service's routes, all and no others, each with its method.
func TestOpenAPIRoutes(t *testing.T) {
	doc, r := describedAPI(t), newRig(t)
	want, got := map[string]string{}, map[string]string{}
	for path, to := range r.service.routes {
		want[path] = to.method
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			got[path] += method
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/openapi.yaml has other routes than the service:\n%s", diff)
	}
	// The codes of the document are the constants, and each is used by an answer.
	constants := codeConstants(t)
	var enum, used []string
	for _, code := range doc.Components.Schemas["Code"].Value.Enum {
		enum = append(enum, code.(string))
	}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				used = append(used, codesOf(response.Value)...)
			}
		}
	}
	slices.Sort(used)
	for name, list := range map[string][]string{"enum": enum, "x-codes": slices.Compact(used)} {
		if diff := cmp.Diff(constants, list); diff != "" {
			t.Errorf("%s of docs/openapi.yaml and the constants of problem.go:\n%s", name, diff)
		}
	}
}

// codeConstants reads the codes from the source, sorted.
func codeConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && strings.HasPrefix(v.Names[0].Name, "Code") && len(v.Values) == 1 {
			codes = append(codes, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	if len(codes) < 20 {
		t.Fatalf("problem.go has %d codes: the test sees too few", len(codes))
	}
	slices.Sort(codes)
	return codes
}
