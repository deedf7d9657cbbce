package graphql_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// knock sends a request that asks for nothing but its own type, with these headers.
func knock(handler http.Handler, method, remote, host string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, graphql.Path, strings.NewReader(`{"query":"{__typename}"}`))
	r.RemoteAddr, r.Host = remote, host
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

const (
	local   = "127.0.0.1:54321"
	abroad  = "203.0.113.7:54321"
	ourHost = "127.0.0.1:8080"
)

type header = map[string]string

func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	open := graphql.Config{Tasks: store.NewMemory()}
	closed := graphql.Config{Tasks: store.NewMemory(), Token: token, Hosts: []string{"Tasks.example.com", "ported.example.com:8443", "dot.example.com."}}
	bearer := header{"Authorization": "Bearer " + token}
	with := func(more header) header {
		all := header{"Authorization": "Bearer " + token}
		maps.Copy(all, more)
		return all
	}
	allows := graphql.Config{Tasks: store.NewMemory(), Origins: []string{"https://admin.example.com"}}

	for _, test := range []struct {
		name         string
		config       graphql.Config
		method       string
		remote, host string
		header       header
		status       int
		code         graphql.Code
	}{
		{"this machine", open, "POST", local, ourHost, nil, 200, ""},
		{"this machine by IPv6", open, "POST", "[::1]:54321", "[::1]:8080", nil, 200, ""},
		{"this machine by an IPv4 address in IPv6", open, "POST", "[::ffff:127.0.0.1]:1", "localhost", nil, 200, ""},
		{"another loopback address", open, "POST", "127.9.9.9:1", "127.9.9.9", nil, 200, ""},
		{"localhost in capitals with a dot", open, "POST", local, "LocalHost.:8080", nil, 200, ""},
		{"somebody else", open, "POST", abroad, ourHost, nil, 403, graphql.Forbidden},
		{"the local network", open, "POST", "192.168.1.7:1", ourHost, nil, 403, graphql.Forbidden},
		{"an address that is none", open, "POST", "pipe", ourHost, nil, 403, graphql.Forbidden},
		{"no address", open, "POST", "", ourHost, nil, 403, graphql.Forbidden},
		{"a rebound name", open, "POST", local, "evil.example.com:8080", nil, 403, graphql.Forbidden},
		{"a name that begins like ours", open, "POST", local, "localhost.evil.example.com", nil, 403, graphql.Forbidden},
		{"a name that begins like our address", open, "POST", local, "127.0.0.1.evil.example.com", nil, 403, graphql.Forbidden},
		{"any address", open, "POST", local, "0.0.0.0:8080", nil, 403, graphql.Forbidden},
		{"our public address", open, "POST", local, "203.0.113.9", nil, 403, graphql.Forbidden},
		{"a short form of our address", open, "POST", local, "127.1", nil, 403, graphql.Forbidden},
		{"no host", open, "POST", local, "", nil, 403, graphql.Forbidden},
		{"a zone", open, "POST", local, "[::1%25lo]:8080", nil, 403, graphql.Forbidden},
		{"a proxy", open, "POST", local, ourHost, header{"X-Forwarded-For": "203.0.113.7"}, 403, graphql.Forbidden},
		{"a proxy that says so otherwise", open, "POST", local, ourHost, header{"Forwarded": "for=203.0.113.7"}, 403, graphql.Forbidden},
		{"a token where none is needed", open, "POST", local, ourHost, bearer, 200, ""},

		{"no token", closed, "POST", local, ourHost, nil, 401, graphql.Unauthenticated},
		{"no token from abroad", closed, "POST", abroad, "tasks.example.com", nil, 401, graphql.Unauthenticated},
		{"a wrong token", closed, "POST", local, ourHost, header{"Authorization": "Bearer " + token + "x"}, 401, graphql.Unauthenticated},
		{"the beginning of the token", closed, "POST", local, ourHost, header{"Authorization": "Bearer " + token[:20]}, 401, graphql.Unauthenticated},
		{"an empty token", closed, "POST", local, ourHost, header{"Authorization": "Bearer "}, 401, graphql.Unauthenticated},
		{"the token alone", closed, "POST", local, ourHost, header{"Authorization": token}, 401, graphql.Unauthenticated},
		{"another scheme", closed, "POST", local, ourHost, header{"Authorization": "Basic " + token}, 401, graphql.Unauthenticated},
		{"the token", closed, "POST", abroad, "tasks.example.com", bearer, 200, ""},
		{"the token with a scheme in small letters", closed, "POST", abroad, "tasks.example.com", header{"Authorization": "bearer  " + token}, 200, ""},
		{"the token through a proxy", closed, "POST", local, "tasks.example.com:443", with(header{"X-Forwarded-For": "203.0.113.7"}), 200, ""},
		{"the token to an address", closed, "POST", abroad, "203.0.113.9:8080", bearer, 200, ""},
		{"the token to the right port", closed, "POST", abroad, "ported.example.com:8443", bearer, 200, ""},
		{"the token to our name with a dot", closed, "POST", abroad, "tasks.example.com.", bearer, 200, ""},
		{"the token to our name with a dot and a port", closed, "POST", abroad, "tasks.example.com.:443", bearer, 200, ""},
		{"the token to the right port with a dot", closed, "POST", abroad, "ported.example.com.:8443", bearer, 200, ""},
		{"the token to another port with a dot", closed, "POST", abroad, "ported.example.com.:80", bearer, 403, graphql.Forbidden},
		{"the token to a name that has a dot in the config", closed, "POST", abroad, "dot.example.com:443", bearer, 200, ""},
		{"the token to another port", closed, "POST", abroad, "ported.example.com:80", bearer, 403, graphql.Forbidden},
		{"the token to another name", closed, "POST", abroad, "other.example.com", bearer, 403, graphql.Forbidden},

		{"GET", open, "GET", local, ourHost, nil, 405, graphql.BadUserInput},
		{"HEAD", open, "HEAD", local, ourHost, nil, 405, graphql.BadUserInput},
		{"PUT", open, "PUT", local, ourHost, nil, 405, graphql.BadUserInput},
		{"OPTIONS of nobody we know", open, "OPTIONS", local, ourHost, header{"Origin": "https://evil.example.com"}, 405, graphql.BadUserInput},

		{"our own page", open, "POST", local, ourHost, header{"Origin": "http://" + ourHost, "Sec-Fetch-Site": "same-origin"}, 200, ""},
		{"our own page in an old browser", open, "POST", local, ourHost, header{"Origin": "http://" + ourHost}, 200, ""},
		{"another page", open, "POST", local, ourHost, header{"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}, 403, graphql.Forbidden},
		{"another page in an old browser", open, "POST", local, ourHost, header{"Origin": "https://evil.example.com"}, 403, graphql.Forbidden},
		{"a page of another port", open, "POST", local, ourHost, header{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403, graphql.Forbidden},
		{"a page without an origin", open, "POST", local, ourHost, header{"Origin": "null"}, 403, graphql.Forbidden},
		{"a page that hides its origin", open, "POST", local, ourHost, header{"Sec-Fetch-Site": "cross-site"}, 403, graphql.Forbidden},
		{"another page with the token", closed, "POST", local, ourHost, with(header{"Origin": "https://evil.example.com"}), 403, graphql.Forbidden},
		{"a listed page", allows, "POST", local, ourHost, header{"Origin": "https://admin.example.com", "Sec-Fetch-Site": "cross-site"}, 200, ""},
		{"a page whose origin begins like a listed one", allows, "POST", local, ourHost, header{"Origin": "https://admin.example.com.evil.example"}, 403, graphql.Forbidden},
		{"a listed name over HTTP", allows, "POST", local, ourHost, header{"Origin": "http://admin.example.com"}, 403, graphql.Forbidden},

		{"a charset", open, "POST", local, ourHost, header{"Content-Type": "application/json; charset=UTF-8"}, 200, ""},
		{"another charset", open, "POST", local, ourHost, header{"Content-Type": "application/json; charset=utf-16"}, 415, graphql.BadUserInput},
		{"a form", open, "POST", local, ourHost, header{"Content-Type": "application/x-www-form-urlencoded"}, 415, graphql.BadUserInput},
		{"a form with files", open, "POST", local, ourHost, header{"Content-Type": "multipart/form-data; boundary=x"}, 415, graphql.BadUserInput},
		{"a form of plain text", open, "POST", local, ourHost, header{"Content-Type": "text/plain"}, 415, graphql.BadUserInput},
		{"plain text that names JSON", open, "POST", local, ourHost, header{"Content-Type": "text/plain; application/json"}, 415, graphql.BadUserInput},
		{"GraphQL without JSON", open, "POST", local, ourHost, header{"Content-Type": "application/graphql"}, 415, graphql.BadUserInput},
		{"no content type", open, "POST", local, ourHost, header{"Content-Type": ""}, 415, graphql.BadUserInput},
		{"a packed body", open, "POST", local, ourHost, header{"Content-Encoding": "gzip"}, 415, graphql.BadUserInput},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := knock(newHandler(t, test.config), test.method, test.remote, test.host, test.header)
			if w.Code != test.status {
				t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
			}
			if r := parseReply(t, w.Code, w.Header(), w.Body.Bytes()); r.code() != test.code {
				t.Errorf("code %q, want %q", r.code(), test.code)
			}
			if strings.Contains(w.Body.String(), token) {
				t.Errorf("the token is in the answer: %s", w.Body)
			}
			wantHeader(t, w.Header(), "Allow", map[bool]string{true: "POST"}[w.Code == 405])
			wantHeader(t, w.Header(), "WWW-Authenticate", map[bool]string{true: "Bearer"}[w.Code == 401])
		})
	}
}

func wantHeader(t *testing.T, header http.Header, name, want string) {
	t.Helper()
	if got := header.Get(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func TestPagesOfListedOriginsMayReadTheAnswer(t *testing.T) {
	t.Parallel()
	handler := newHandler(t, graphql.Config{Tasks: store.NewMemory(), Token: token, Origins: []string{"https://admin.example.com"}})

	w := knock(handler, http.MethodOptions, abroad, "203.0.113.9", header{"Origin": "https://admin.example.com", "Access-Control-Request-Method": "POST"})
	if w.Code != http.StatusNoContent {
		t.Errorf("the preflight has status %d, want 204", w.Code)
	}
	wantHeader(t, w.Header(), "Access-Control-Allow-Origin", "https://admin.example.com")
	wantHeader(t, w.Header(), "Access-Control-Allow-Methods", "POST")
	wantHeader(t, w.Header(), "Access-Control-Allow-Headers", "Authorization, Content-Type")
	wantHeader(t, w.Header(), "Access-Control-Allow-Credentials", "")
	wantHeader(t, w.Header(), "Vary", "Origin")

	refused := knock(handler, http.MethodPost, abroad, "203.0.113.9", header{"Origin": "https://admin.example.com"})
	if refused.Code != http.StatusUnauthorized {
		t.Errorf("without a token the status is %d, want 401", refused.Code)
	}
	wantHeader(t, refused.Header(), "Access-Control-Allow-Origin", "https://admin.example.com")

	evil := knock(handler, http.MethodOptions, abroad, "203.0.113.9", header{"Origin": "https://evil.example.com"})
	wantHeader(t, evil.Header(), "Access-Control-Allow-Origin", "")
	wantHeader(t, evil.Header(), "Vary", "Origin")
}

func TestThePageIsServed(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for path, want := range map[string]string{"/graphiql": `data-endpoint="/graphql"`, "/graphiql/": `data-endpoint="/graphql"`, "/graphiql/graphiql.js": "function"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d, %v, want %q in it: %.200s", path, response.StatusCode, err, want, body)
		}
	}
}

// The page tells nothing, but what is for this machine only is not shown to others either.
func TestThePageIsGuarded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config       graphql.Config
		remote, host string
		status       int
	}{
		{graphql.Config{Tasks: store.NewMemory()}, local, ourHost, 200},
		{graphql.Config{Tasks: store.NewMemory()}, abroad, ourHost, 403},
		{graphql.Config{Tasks: store.NewMemory()}, local, "evil.example.com", 403},
		{graphql.Config{Tasks: store.NewMemory(), Token: token}, abroad, "203.0.113.9", 200},
		{graphql.Config{Tasks: store.NewMemory(), Token: token}, abroad, "evil.example.com", 403},
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, graphql.PagePath, nil)
		r.RemoteAddr, r.Host = test.remote, test.host
		w := httptest.NewRecorder()
		newHandler(t, test.config).ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("from %s to %s: status %d, want %d", test.remote, test.host, w.Code, test.status)
		}
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address, token string
		ok             bool
	}{
		{"127.0.0.1:8080", "", true},
		{"127.0.0.1:0", "", true},
		{"127.8.8.8:80", "", true},
		{"[::1]:8080", "", true},
		{"localhost:8080", "", true},
		{":8080", "", false},
		{"0.0.0.0:8080", "", false},
		{"[::]:8080", "", false},
		{"192.168.1.7:8080", "", false},
		{"example.com:8080", "", false},
		{"localhost.example.com:8080", "", false},
		{"127.0.0.1", "", false},
		{"", "", false},
		{":8080", token, true},
		{"192.168.1.7:8080", token, true},
		{"8080", token, false},
	} {
		if err := graphql.CheckListen(test.address, test.token); (err == nil) != test.ok {
			t.Errorf("CheckListen(%q, %q) = %v, want ok: %v", test.address, test.token, err, test.ok)
		} else if err != nil && (!strings.HasPrefix(err.Error(), "graphql: ") || !strings.Contains(err.Error(), `"`+test.address+`"`)) {
			t.Errorf("the error is %v, want it to name the address", err)
		}
	}
}
