package servertest_test

import (
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

const testPage = `<!DOCTYPE html><title>t</title><input id="name"><button id="greet">greet</button><p id="out"></p>
<script src="/page.js"></script><img src="http://127.0.0.1:1/elsewhere.png">`

const testScript = `greet.onclick = () => { out.textContent = "hello, " + document.querySelector("#name").value }`

func TestChromiumUsesAPage(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(testPage))
		case "/page.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(testScript))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)

	page := servertest.Chromium(t)
	page.Open(site.URL + "/")
	page.Click("#name")
	page.Type("wörld")
	page.Click("#greet")
	page.Await(`document.querySelector("#out").textContent !== ""`)
	var said string
	page.Eval(`Promise.resolve(document.querySelector("#out").textContent)`, &said)
	if said != "hello, wörld" {
		t.Errorf("the page says %q", said)
	}

	if want := site.URL + "/page.js"; !slices.Contains(page.Requests, want) {
		t.Errorf("the requests %q lack %s", page.Requests, want)
	}
	if got := page.RequestsElsewhere(site.URL); !slices.Equal(got, []string{"http://127.0.0.1:1/elsewhere.png"}) {
		t.Errorf("RequestsElsewhere = %q", got)
	}
	if !slices.ContainsFunc(page.Problems, func(p string) bool { return strings.Contains(p, "elsewhere.png") }) {
		t.Errorf("the problems %q lack the image that cannot be loaded", page.Problems)
	}
	shot := filepath.Join(t.TempDir(), "page.png")
	page.Screenshot(shot)
	checkPNG(t, shot)
}

func checkPNG(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if config, err := png.DecodeConfig(file); err != nil || config.Width < 1000 {
		t.Errorf("the screenshot is %d wide (error %v)", config.Width, err)
	}
}
