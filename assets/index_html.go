package assets

import (
	"errors"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// link is what a page says lies below the folder that is listed.
type link struct {
	at   location
	key  string // the URL, which tells it from others
	name string // relative to the folder
	err  error  // why it is no usable name
}

// indexLinks gives the links of a page that lead to something below top, in their order. The reason why others are
// passed over is the same for all: an index page also links to its parent, to itself in other orders (?C=M;O=D), and to
// whatever its footer advertises.
func indexLinks(page io.Reader, base *url.URL, top location) ([]link, error) {
	var links []link
	tokens := html.NewTokenizer(page)
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if err := tokens.Err(); !errors.Is(err, io.EOF) {
				return nil, err
			}
			return links, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			if href, ok := anchor(tokens); ok {
				if found, ok := below(href, base, top); ok {
					links = append(links, found)
				}
			}
		}
	}
}

// anchor gives the target of the tag that was just read, if it is a link.
func anchor(tokens *html.Tokenizer) (href string, ok bool) {
	name, more := tokens.TagName()
	if atom.Lookup(name) != atom.A {
		return "", false
	}
	for more {
		var key, value []byte
		key, value, more = tokens.TagAttr()
		if string(key) == "href" {
			return string(value), true
		}
	}
	return "", false
}

// below resolves a link as a browser does, and reports whether it leads to something below top. If it does but has a
// name that cannot be used, the link says so: an asset must not be passed over in silence.
func below(href string, base *url.URL, top location) (link, bool) {
	relative, err := url.Parse(strings.TrimSpace(href))
	if err != nil {
		// Most of what cannot be read at all was not meant for us.
		return link{key: href, name: href, err: errors.New("cannot be read as a link")}, strings.Contains(href, "%") && !strings.Contains(href, ":")
	}
	target := base.ResolveReference(relative)
	target.Fragment, target.RawFragment = "", ""
	if relative.RawQuery != "" || relative.ForceQuery {
		return withQuery(target, top)
	}
	l, err := parseLocation(target.String())
	if err != nil {
		name, ok := strings.CutPrefix(target.String(), top.base())
		return link{key: target.String(), name: name, err: err}, ok && name != ""
	}
	if len(l.path) <= len(top.path) || !l.below(top) {
		return link{}, false
	}
	return link{at: l, key: l.base(), name: l.nameBelow(top)}, true
}

// withQuery judges a link with a query. On a folder that is the folder in another order (?C=M;O=D). On anything else it may
// be an asset, and one of which only its origin knows by which name to keep it.
func withQuery(target *url.URL, top location) (link, bool) {
	key, query := target.String(), target.RawQuery
	target.RawQuery, target.ForceQuery = "", false
	l, err := parseLocation(target.String())
	if err != nil || l.dir || len(l.path) <= len(top.path) || !l.below(top) {
		return link{}, false
	}
	return link{key: key, name: l.nameBelow(top) + "?" + query, err: errors.New("has a query, which the name of an asset cannot have")}, true
}

// nameBelow is the name relative to a folder that l lies in.
func (l location) nameBelow(top location) string { return strings.Join(l.path[len(top.path):], "/") }
