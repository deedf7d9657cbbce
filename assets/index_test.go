package assets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
)

// index lists everything below from: the names, those that cannot be used, and how it ended.
func index(t testing.TB, m *assets.Mover, from string) (names, bad []string, err error) {
	t.Helper()
	for name, err := range m.Index(t.Context(), from) {
		switch {
		case name == "":
			return names, bad, err
		case err != nil:
			bad = append(bad, name)
		default:
			names = append(names, name)
		}
	}
	return names, bad, nil
}

func wantIndex(t testing.TB, m *assets.Mover, from string, names, bad []string) {
	t.Helper()
	gotNames, gotBad, err := index(t, m, from)
	slices.Sort(gotNames)
	slices.Sort(gotBad)
	if err != nil || !slices.Equal(gotNames, names) || !slices.Equal(gotBad, bad) {
		t.Errorf("listing %s: %q, unusable %q, %v; want %q, unusable %q", from, gotNames, gotBad, err, names, bad)
	}
}

func indexError(t testing.TB, m *assets.Mover, from string) error {
	t.Helper()
	_, _, err := index(t, m, from)
	return err
}

// page makes an index page of links.
func page(links ...string) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><head><title>Index of /</title></head><body><h1>Index</h1><pre>\n")
	for _, link := range links {
		fmt.Fprintf(&b, "<a href=\"%s\">x</a>  01-Jan-2030 00:00  17\n", link)
	}
	b.WriteString("</pre></body></html>")
	return b.String()
}

// pages is an origin of index pages.
func pages(t testing.TB, content map[string]string) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, ok := content[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case strings.HasPrefix(text, "→"):
			http.Redirect(w, r, strings.TrimPrefix(text, "→"), http.StatusFound)
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, text)
		}
	})
}

func TestIndexOfOrigin(t *testing.T) {
	t.Parallel()
	base := pages(t, map[string]string{
		"/img/": page("../", "?C=M;O=D", "?C=N&amp;O=A", "a.svg", "a.svg", "./a.svg", "a.svg#top", "a%20b&amp;c.svg", "%C3%BC.svg", "%252e.svg",
			"sub/", "sub/", "/img/abs.svg", "/img", "/", "/other/x.svg", "../img2/x.svg", "/img2/x.svg", "https://evil.example/img/x.svg",
			"//evil.example/img/y.svg", "mailto:a@b", "javascript:void(0)", "", "#", "  spaced.svg  ", "sub/deep/direct.svg",
			"bad%2Fname", "bad%00name", "bad%ffname", "http://[::1", "query.svg?v=1"),
		"/img/sub/": page("../", "b.svg", "deep/", "/img/", "/img/sub/"),
		// One folder that cannot be listed is named, and the others are.
		"/holes/":        page("gone/", "a/", "%zz.svg", "svg/", "b.svg", "a/?C=N"),
		"/holes/a/":      page("a.svg"),
		"/holes/svg/":    "→/img/sub/",
		"/img/sub/deep/": page("../", "../../", "c.svg", "loop/"),
		// A folder that is its own child.
		"/img/sub/deep/loop/": "→/img/sub/deep/",
		"/moved":              "→/img/",
		"/away/":              "→/elsewhere/",
		"/elsewhere/":         page("x.svg"),
		"/out/":               "→http://127.0.0.2/",
	})
	m := newMover(t, assets.Config{Allow: []string{base}})
	want := []string{"%2e.svg", "a b&c.svg", "a.svg", "abs.svg", "spaced.svg", "sub/b.svg", "sub/deep/c.svg", "sub/deep/direct.svg", "ü.svg"}
	bad := []string{"bad%00name", "bad%2Fname", "bad%ffname", "query.svg?v=1"}
	wantIndex(t, m, base+"/img/", want, bad)
	wantIndex(t, m, base+"/img", want, bad)
	wantIndex(t, m, base+"/img/sub/deep", []string{"c.svg"}, nil)
	wantIndex(t, m, base+"/holes/", []string{"a/a.svg", "b.svg"}, []string{"%zz.svg", "gone/", "svg/"})
	for from, reason := range map[string]string{
		base + "/none/":         "404",
		base + "/away/":         "redirected",
		base + "/out/":          "not below",
		base + "/img/?x":        "query",
		"http://127.0.0.2/img/": "not below",
		"nonsense":              "not an absolute URL",
	} {
		if err := indexError(t, m, from); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("listing %s: %v, want an error with %q", from, err, reason)
		}
	}
}

func TestIndexIsNoPage(t *testing.T) {
	t.Parallel()
	base := serve(t, with("<svg><a href='x'/></svg>", "Content-Type", "image/svg+xml"))
	m := newMover(t, assets.Config{Allow: []string{base}})
	if err := indexError(t, m, base); !errors.Is(err, assets.ErrIndex) {
		t.Errorf("error %v, want ErrIndex", err)
	}
}

// origins answers in the place of the network, so that it can be used in a bubble of fake time.
type origins func(*http.Request) *http.Response

func (o origins) RoundTrip(r *http.Request) (*http.Response, error) { return o(r), nil }

func answer(r *http.Request, status int, body string, header ...string) *http.Response {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/html")
	for i := 0; i+1 < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	response := w.Result()
	response.Request = r
	return response
}

// An origin can make up folders without end. It is told so, rather than given half of a list for the whole.
func TestIndexLimits(t *testing.T) {
	t.Parallel()
	m := newMover(t, assets.Config{Allow: []string{"http://o.example/"}})
	for what, links := range map[string]func(r *http.Request) []string{
		"deep": func(*http.Request) []string { return []string{"a/"} },
		"wide": func(r *http.Request) []string {
			if r.URL.Path != "/" {
				return nil
			}
			wide := make([]string, assets.MaxIndexPages+1)
			for i := range wide {
				wide[i] = fmt.Sprintf("%d/", i)
			}
			return wide
		},
	} {
		m.UseOrigin(origins(func(r *http.Request) *http.Response { return answer(r, 200, page(links(r)...)) }))
		if err := indexError(t, m, "http://o.example/"); !errors.Is(err, assets.ErrIndex) {
			t.Errorf("%s: %v, want ErrIndex", what, err)
		}
	}
}

// A page that fails once must not lose the list.
func TestIndexTriesAgain(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m, err := assets.New(t.Context(), assets.Config{TempDir: temp, Allow: []string{"http://o.example/"}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		asked := 0
		m.UseOrigin(origins(func(r *http.Request) *http.Response {
			switch asked++; asked {
			case 1:
				return answer(r, 503, "", "Retry-After", "30")
			case 2, 3:
				return answer(r, 500, "")
			default:
				return answer(r, 200, page("a.svg"))
			}
		}))
		start := time.Now()
		wantIndex(t, m, "http://o.example/", []string{"a.svg"}, nil)
		if waited := time.Since(start); asked != 4 || waited < 30*time.Second || waited > 50*time.Second {
			t.Errorf("asked %d times in %s, want 4 times in a little over 30s", asked, waited)
		}
		asked = -100
		m.UseOrigin(origins(func(r *http.Request) *http.Response { asked++; return answer(r, 500, "") }))
		if err := indexError(t, m, "http://o.example/"); err == nil || asked != -94 {
			t.Errorf("asked %d times, %v; want an error after 6 times", asked+100, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for _, err := range m.Index(ctx, "http://o.example/") {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want context.DeadlineExceeded", err)
			}
		}
	})
}

// Who has seen enough ends the list.
func TestIndexStopsEarly(t *testing.T) {
	t.Parallel()
	mem, mux := newMemory(t)
	dir := t.TempDir()
	base := pages(t, map[string]string{"/": page("a", "b", "c")})
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "mem://in", "file://" + dir}})
	for _, name := range []string{"a", "b", "c"} {
		mem.put(t, name, "x")
		writeFile(t, dir+"/"+name, "x")
	}
	for _, from := range []string{base, "mem://in", "file://" + dir} {
		var names []string
		for name, err := range m.Index(t.Context(), from) {
			if names = append(names, name); err != nil || len(names) == 2 {
				break
			}
		}
		if !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("listing two of %s gave %q", from, names)
		}
	}
}

func TestIndexOfBucket(t *testing.T) {
	t.Parallel()
	mem, mux := newMemory(t)
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{"mem://in"}})
	for _, key := range []string{"a.svg", "img/b.svg", "img/", "img/x/c d.svg", "img2/d.svg", "img//e.svg", "img/../f.svg"} {
		mem.put(t, key, "x")
	}
	wantIndex(t, m, "mem://in/img", []string{"b.svg", "x/c d.svg"}, []string{"../f.svg", "/e.svg"})
	wantIndex(t, m, "mem://in/", []string{"a.svg", "img/b.svg", "img/x/c d.svg", "img2/d.svg"}, []string{"img/../f.svg", "img//e.svg"})
	wantIndex(t, m, "mem://in/none", nil, nil)
}

// FuzzLinks reads pages that nobody would write. Whatever is in them, no name leads out.
func FuzzLinks(f *testing.F) {
	f.Add(page("a.svg", "../", "sub/"), "/img/")
	f.Add("<a href=..%2f><a href='/img/%2e%2e/x'><A HREF=/img/x", "/img/")
	f.Fuzz(func(t *testing.T, text, path string) {
		top := (&url.URL{Scheme: "http", Host: "o.example", Path: path}).String()
		names, bad, err := assets.Links(strings.NewReader(text), top, top)
		if err != nil {
			return
		}
		for _, name := range names {
			joined, err := assets.Join(top, name)
			if err == nil {
				err = assets.Allowed([]string{top}, joined, false)
			}
			if err != nil {
				t.Errorf("the page %q at %q gives the name %q: %v", text, top, name, err)
			}
		}
		for _, name := range bad {
			if _, err := assets.Join(top, name); name == "" || err == nil && !strings.ContainsAny(name, "%?#") {
				t.Errorf("the page %q at %q calls the name %q unusable", text, top, name)
			}
		}
	})
}
