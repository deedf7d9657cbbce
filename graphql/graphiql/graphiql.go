// Package graphiql serves GraphiQL, the page on which people write GraphQL queries and try them.
//
//   - All files of the page are in the binary. It fetches nothing from anybody but the server that serves it.
//   - Its Content-Security-Policy lets it run only its own script and talk only to its own origin. It cannot be framed.
//   - It shows nothing that is not public: the schema and all data come from the GraphQL endpoint, which decides whom it
//     answers. A token goes into the headers editor, as {"Authorization": "Bearer …"}, and is forgotten with the page.
//
// The files in static are bundled from those in page by make graphiql; static/LICENSES.txt has the licences of what is
// in the bundle, and is served too.
package graphiql

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"time"
)

//go:embed static
var static embed.FS

// assets are the files beside the page, with the types under which they are served.
var assets = [...]struct{ name, contentType string }{
	{"graphiql.js", "text/javascript; charset=utf-8"},
	{"graphiql.css", "text/css; charset=utf-8"},
	{"LICENSES.txt", "text/plain; charset=utf-8"},
}

// policy is the Content-Security-Policy but for the nonce at its end. Fonts and pointers are data inside the style
// sheet. The nonce is for the one style element that a dialog adds to the page.
const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; font-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'self' 'nonce-"

// Handler serves the page at / and its files beside it. The page sends its queries to graphqlPath, which must be on the
// same origin. To serve it below a path, strip that:
//
//	mux.Handle("/graphiql/", http.StripPrefix("/graphiql", graphiql.Handler("/graphql")))
//
// The handler is safe for concurrent use. It checks neither Host nor token: there is nothing to protect.
func Handler(graphqlPath string) http.Handler {
	mux := http.NewServeMux()
	// The file is in the binary, so that it parses is known since the tests ran.
	mux.Handle("GET /{$}", page{template.Must(template.ParseFS(static, "static/index.html")), graphqlPath})
	for _, asset := range assets {
		mux.Handle("GET /"+asset.name, newFile(asset.name, asset.contentType))
	}
	return mux
}

// page is the HTML of GraphiQL, made for each request because of its nonce.
type page struct {
	template *template.Template
	endpoint string
}

func (p page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	var html bytes.Buffer
	if err := p.template.Execute(&html, struct{ Endpoint, Nonce string }{p.endpoint, nonce}); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	harden(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy+nonce+"'")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(html.Bytes()) // whoever went away will not read about it
}

// file is one asset.
type file struct {
	name, contentType, etag string
	data                    []byte
}

func newFile(name, contentType string) file {
	data, _ := static.ReadFile("static/" + name) // a test asks for each of them
	sum := sha256.Sum256(data)
	return file{name, contentType, `"` + hex.EncodeToString(sum[:16]) + `"`, data}
}

// ServeHTTP sends the file, or that it has not changed: browsers keep it but ask each time, so that a new version of
// the program is seen at once.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", f.etag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.data))
}

// harden sets what every answer has.
func harden(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}
