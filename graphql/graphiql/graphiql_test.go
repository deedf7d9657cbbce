package graphiql_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/graphql/graphiql"
	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks the handler, mounted as its documentation says.
func get(t *testing.T, method, path string, header http.Header) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/graphiql/", http.StripPrefix("/graphiql", graphiql.Handler("/api/graphql")))
	request := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	maps.Copy(request.Header, header)
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, request)
	return recorder.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPathsAndTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, path string
		status       int
		contentType  string
		size         int // at least
	}{
		{http.MethodGet, "/graphiql/", 200, "text/html; charset=utf-8", 300},
		{http.MethodGet, "/graphiql/graphiql.js", 200, "text/javascript; charset=utf-8", 1_000_000},
		{http.MethodGet, "/graphiql/graphiql.css", 200, "text/css; charset=utf-8", 300_000},
		{http.MethodGet, "/graphiql/LICENSES.txt", 200, "text/plain; charset=utf-8", 10_000},
		{http.MethodHead, "/graphiql/graphiql.js", 200, "text/javascript; charset=utf-8", 0},
		{http.MethodGet, "/graphiql", 307, "text/html; charset=utf-8", 0},
		{http.MethodPost, "/graphiql/", 405, "text/plain; charset=utf-8", 0},
		{http.MethodGet, "/graphiql/index.html", 404, "text/plain; charset=utf-8", 0},
		{http.MethodGet, "/graphiql/static/graphiql.js", 404, "text/plain; charset=utf-8", 0},
		{http.MethodGet, "/graphiql/%2e%2e/graphiql.go", 404, "text/plain; charset=utf-8", 0},
	} {
		response := get(t, test.method, test.path, nil)
		size := len(body(t, response))
		if response.StatusCode != test.status || size < test.size {
			t.Errorf("%s %s: %d with %d bytes, want %d with %d", test.method, test.path, response.StatusCode, size, test.status, test.size)
		}
		if got := response.Header.Get("Content-Type"); got != test.contentType {
			t.Errorf("%s %s: Content-Type %q, want %q", test.method, test.path, got, test.contentType)
		}
	}
}

func TestEveryAnswerIsHardened(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/graphiql/", "/graphiql/graphiql.js", "/graphiql/graphiql.css"} {
		response := get(t, http.MethodGet, path, nil)
		_ = body(t, response)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	response := get(t, http.MethodGet, "/graphiql/", nil)
	html := body(t, response)
	policy := response.Header.Get("Content-Security-Policy")
	directives := map[string]string{}
	for directive := range strings.SplitSeq(policy, "; ") {
		name, value, _ := strings.Cut(directive, " ")
		directives[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "connect-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
		"form-action": "'none'", "font-src": "data:", "img-src": "'self' data:",
	} {
		if directives[name] != want {
			t.Errorf("%s is %q, want %q", name, directives[name], want)
		}
	}
	nonce := regexp.MustCompile(`data-nonce="([A-Z0-9]{26})"`).FindStringSubmatch(html)
	if nonce == nil || directives["style-src"] != "'self' 'nonce-"+nonce[1]+"'" {
		t.Errorf("style-src is %q and the page has the nonce %q", directives["style-src"], nonce)
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy allows something unsafe: %s", policy)
	}
	if again := get(t, http.MethodGet, "/graphiql/", nil); again.Header.Get("Content-Security-Policy") == policy {
		t.Error("the nonce is the same for two requests")
	}
	if script := regexp.MustCompile(`<script[^>]*>`).FindAllString(html, -1); len(script) != 1 || script[0] != `<script src="graphiql.js">` {
		t.Errorf("the scripts of the page are %q", script)
	}
}

func TestEndpointIsEscaped(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	graphiql.Handler(`/x"><script>`).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if html := recorder.Body.String(); strings.Contains(html, `"><script>`) || !strings.Contains(html, `data-endpoint="/x&#34;&gt;&lt;script&gt;"`) {
		t.Errorf("the page is %s", html)
	}
}

func TestBrowserKeepsFiles(t *testing.T) {
	t.Parallel()
	first := get(t, http.MethodGet, "/graphiql/graphiql.js", nil)
	_ = body(t, first)
	second := get(t, http.MethodGet, "/graphiql/graphiql.js", http.Header{"If-None-Match": {first.Header.Get("ETag")}})
	if second.StatusCode != http.StatusNotModified || body(t, second) != "" {
		t.Errorf("asked again with its ETag: %d", second.StatusCode)
	}
	if page := get(t, http.MethodGet, "/graphiql/", nil); page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page has Cache-Control %q", page.Header.Get("Cache-Control"))
	}
}

// token is what the endpoint of the test wants to see.
const token = "a-secret-token"

// endpoint answers the introspection and { hello }, to whoever has the token.
func endpoint(t *testing.T) http.HandlerFunc {
	t.Helper()
	introspection, err := os.ReadFile("testdata/introspection.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		var query struct{ Query string }
		if err := json.NewDecoder(r.Body).Decode(&query); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(query.Query, "__schema") {
			_, _ = w.Write(introspection)
			return
		}
		_, _ = w.Write([]byte(`{"data": {"hello": "world of tasks"}}`))
	}
}

// TestInBrowser does what a person does: opens the page, is refused, enters the token, fetches the schema, runs a
// query, and opens the dialog with the settings. With SCREENSHOT=FILE in the environment it leaves a picture.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("/graphiql/", http.StripPrefix("/graphiql", graphiql.Handler("/graphql")))
	mux.HandleFunc("POST /graphql", endpoint(t))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	page := servertest.Chromium(t)
	page.Open(server.URL + "/graphiql")
	page.Await(`document.querySelectorAll(".CodeMirror").length >= 3`)
	page.Await(`document.querySelector(".result-window").innerText.includes("401 Unauthorized: a token is needed")`)

	page.Click(`[aria-label="Headers"] .CodeMirror`)
	page.Type(`{"Authorization": "Bearer ` + token + `"}`)
	page.Click(`[aria-label="Re-fetch GraphQL schema"]`)
	page.Click(`[aria-label="Show Documentation Explorer"]`)
	page.Await(`document.body.innerText.includes("A GraphQL schema provides a root type")`)

	page.Eval(`document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.setValue("{ hello }")`, nil)
	page.Click(`.graphiql-execute-button`)
	page.Await(`document.querySelector(".result-window").innerText.includes("world of tasks")`)
	page.Click(`[aria-label="Show History"]`)
	page.Await(`document.querySelector(".graphiql-history-item")`) // it is there, but not in the storage, as seen below
	page.Click(`[aria-label="Open settings dialog"]`)
	page.Await(`document.querySelector("[role=dialog]")`)
	picture := os.Getenv("SCREENSHOT")
	if picture == "" {
		picture = filepath.Join(t.TempDir(), "graphiql.png")
	}
	page.Screenshot(picture)

	var stored string
	page.Eval(`JSON.stringify(localStorage)`, &stored)
	if strings.Contains(stored, token) {
		t.Errorf("the token is in the browser's storage: %s", stored)
	}
	if elsewhere := page.RequestsElsewhere(server.URL); len(elsewhere) > 0 {
		t.Errorf("the page fetched %q", elsewhere)
	}
	for _, problem := range page.Problems {
		if !strings.Contains(problem, "401") { // the refusal above
			t.Errorf("the console says: %s", problem)
		}
	}
}
