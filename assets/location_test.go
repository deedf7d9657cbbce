package assets_test

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/assets"
)

func TestNormalise(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://cdn.example.com/a.svg":            "https://cdn.example.com/a.svg",
		"HTTPS://CDN.Example.COM./a.svg":           "https://cdn.example.com/a.svg",
		"https://cdn.example.com:443/a.svg":        "https://cdn.example.com/a.svg",
		"http://cdn.example.com:0080/a.svg":        "http://cdn.example.com/a.svg",
		"http://cdn.example.com:8080/a.svg":        "http://cdn.example.com:8080/a.svg",
		"https://cdn.example.com":                  "https://cdn.example.com/",
		"https://cdn.example.com/a/?x=1&y=%20":     "https://cdn.example.com/a/?x=1&y=%20",
		"https://cdn.example.com/@mdi/a%2Bb+c.svg": "https://cdn.example.com/@mdi/a%2Bb+c.svg",
		"https://bücher.example/a":                 "https://xn--bcher-kva.example/a",
		"https://ＥＸＡＭＰＬＥ。com/a":                    "https://example.com/a",
		"http://１２７。0.0.1/a":                       "http://127.0.0.1/a",
		"http://[::1]:80/a":                        "http://[::1]/a",
		"http://[0:0:0:0:0:0:0:1]:8080/a":          "http://[::1]:8080/a",
		"http://[::ffff:127.0.0.1]/a":              "http://127.0.0.1/a",
		"http://my_container:8080/a":               "http://my_container:8080/a",
		"https://cdn.example.com/100%25.svg":       "https://cdn.example.com/100%25.svg",
		"https://cdn.example.com/a%252fb":          "https://cdn.example.com/a%252fb",
		"https://cdn.example.com/a?":               "https://cdn.example.com/a?",
		"https://cdn.example.com/?":                "https://cdn.example.com/?",
		"file:///srv/%252e%252e/a":                 "file:///srv/%252e%252e/a",
		"file:///srv/a b/ü.svg":                    "file:///srv/a%20b/%C3%BC.svg",
		"file://localhost/srv/a":                   "file:///srv/a",
		"file:///srv/%23a%3Fb":                     "file:///srv/%23a%3Fb",
		"s3://Bucket-1.x_y/a/b":                    "s3://Bucket-1.x_y/a/b",
		"mem://name":                               "mem://name/",
	} {
		got, err := assets.Normalise(raw)
		if err != nil || got.Text != want {
			t.Errorf("%q is understood as %q (%v), want %q", raw, got.Text, err, want)
		}
	}
}

// Each of these has been a way into some service: by a reader that understood it otherwise than the one that checked.
func TestNormaliseRefuses(t *testing.T) {
	t.Parallel()
	for raw, reason := range map[string]string{ //nolint:gosec // the password opens nothing
		"":                                     "is empty",
		"a.svg":                                "not an absolute URL",
		"//host/a":                             "not an absolute URL",
		"/srv/a":                               "not an absolute URL",
		"file:srv/a":                           "not an absolute URL",
		"http:/host/a":                         "not an absolute URL",
		"https:///a":                           "host name",
		"http://user:secret@host/a":            "user name or password",
		"http://allowed.example@evil.example/": "user name or password",
		"http://host/a#b":                      "fragment",
		"http://host/a#":                       "fragment",
		"http://host\\@evil/a":                 "backslash",
		"http://host/a\\..\\b":                 "backslash",
		"http://host/a\x00b":                   "control character",
		"http://host/a\r\nX: y":                "control character",
		"http://host/a\u0085":                  "control character",
		"http://host/\xff":                     "UTF-8",
		"http://host/%ff":                      "UTF-8",
		"http://host/../a":                     `".."`,
		"http://host/a/..":                     `".."`,
		"http://host/a/./b":                    `"."`,
		"http://host/a/%2e%2e/b":               `".."`,
		"http://host/a/%2E./b":                 `".."`,
		"http://host/a/..;x=1/b":               `"..;x=1"`,
		"http://host/a/%2e%2e%3b/b":            `"..;"`,
		"http://host/a/%252e%252E/b":           `"%2e%2E"`,
		"http://host/a/.%252e/b":               `".%2e"`,
		"http://host/a/%252e%252e%253bx/b":     `"%2e%2e%3bx"`,
		"http://host/a/x%252f..%252fb":         `"x%2f..%2fb"`,
		"http://host/a/..%255cb":               `"..%5cb"`,
		"http://host//a":                       "two slashes",
		"http://host/a//b":                     "two slashes",
		"http://host//":                        "two slashes",
		"http://host/a%2fb":                    "slash",
		"http://host/a%5Cb":                    "slash",
		"http://host/a%00b":                    "control",
		"http://host/a%0ab":                    "control",
		"http://host/a%zz":                     "URL",
		"http://host:0/a":                      "port",
		"http://host:65536/a":                  "port",
		"http://host:x/a":                      "URL",
		"http://2130706433/":                   "neither a name nor an IP address",
		"http://0x7f000001/":                   "neither a name nor an IP address",
		"http://0x7f.1/":                       "neither a name nor an IP address",
		"http://127.1/":                        "neither a name nor an IP address",
		"http://0177.0.0.1/":                   "neither a name nor an IP address",
		"http://127.0.0.1.0x7f/":               "neither a name nor an IP address",
		"http://[fe80::1%25eth0]/a":            "zone",
		"http://[::1/a":                        "URL",
		"http://ho st/a":                       "URL",
		"http://host../a":                      "host name",
		"http://.host/a":                       "host name",
		"http://ho%73t/a":                      "URL",
		"http://host/?a b":                     "query",
		"http://host/?ü":                       "query",
		"file://server/share/a":                "has a host",
		"file://./a":                           "has a host",
		"file:///srv/a?create_dir=1":           "query parameters",
		"file:///srv/a?":                       "query parameters",
		"s3:///a":                              "bucket name",
		"s3://bucket/a?endpoint=http://evil":   "query parameters",
		"s3://buc ket/a":                       "URL",
		"s3://bucket:80/a":                     "bucket name",
		"s3://bücket/a":                        "bucket name",
		"http://host/" + strings.Repeat("a", assets.MaxURL): "longer than",
	} {
		got, err := assets.Normalise(raw)
		if err == nil {
			t.Errorf("%.80q is understood as %q, want an error about %s", raw, got.Text, reason)
		} else if !strings.Contains(err.Error(), reason) {
			t.Errorf("%.80q is refused because it %v, want something about %s", raw, err, reason)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, name, want string }{
		{"https://cdn.example.com/img", "a b.svg", "https://cdn.example.com/img/a%20b.svg"},
		{"https://cdn.example.com/img/", "x/ü?.svg", "https://cdn.example.com/img/x/%C3%BC%3F.svg"},
		{"https://cdn.example.com", "100%.svg", "https://cdn.example.com/100%25.svg"},
		{"file:///srv", "a#b", "file:///srv/a%23b"},
		{"s3://bucket", "%2e%2e/a", "s3://bucket/%252e%252e/a"},
	} {
		got, err := assets.Join(c.base, c.name)
		if err != nil || got != c.want {
			t.Errorf("Join(%q, %q) = %q, %v, want %q", c.base, c.name, got, err, c.want)
		}
	}
	for _, c := range [][2]string{
		{"file:///srv", "../a"}, {"file:///srv", "a/../b"}, {"file:///srv", "/etc/passwd"}, {"file:///srv", ""},
		{"file:///srv", "a//b"}, {"file:///srv", "a\\b"}, {"file:///srv", "a\x00"}, {"file:///srv", "\xff"},
		{"file:///srv", "a/"}, {"http://host/?q", "a"}, {"nonsense", "a"},
		{"file:///srv", strings.Repeat("a", assets.MaxURL)},
	} {
		if got, err := assets.Join(c[0], c[1]); err == nil {
			t.Errorf("Join(%q, %.80q) = %q, want an error", c[0], c[1], got)
		}
	}
}

// A name that Join accepts is found below its base and is understood as it was given, whatever is in it.
func TestJoinKeepsNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom([]string{"https://h.example/a/", "http://h:81", "file:///srv/x", "s3://b/k/"}).Draw(t, "base")
		name := rapid.StringN(1, 40, -1).Draw(t, "name")
		joined, err := assets.Join(base, name)
		if err != nil {
			return
		}
		got, err := assets.Normalise(joined)
		if err != nil || got.Text != joined {
			t.Fatalf("Join(%q, %q) = %q, which is understood as %q (%v)", base, name, joined, got.Text, err)
		}
		top, err := assets.Normalise(base)
		if err != nil {
			t.Fatal(err)
		}
		want := append(slices.Clone(top.Path), strings.Split(name, "/")...)
		if !slices.Equal(got.Path, want) {
			t.Fatalf("Join(%q, %q) = %q has the path %q, want %q", base, name, joined, got.Path, want)
		}
		if err := assets.Allowed([]string{base}, joined, false); err != nil {
			t.Fatalf("Join(%q, %q) = %q, which %v", base, name, joined, err)
		}
	})
}

// FuzzLocation holds what is relied on wherever a URL has been understood: its normal form means the same, and no reader
// with other rules finds another host or a way out of its folder.
func FuzzLocation(f *testing.F) {
	for _, seed := range []string{
		"https://cdn.example.com/a%2e%2e/b", "http://[::1]:80/%252e/a?q=1", "file:///srv/a%20b", "s3://b/k;v=1/..x",
		"http://ｅ.example/a;b/..%3b", "http://h/%E2%80%AE", "mem://n/a%25b", "http://h/a/?",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := assets.Normalise(raw)
		if err != nil {
			return
		}
		again, err := assets.Normalise(got.Text)
		if err != nil || again.Text != got.Text || !slices.Equal(again.Path, got.Path) {
			t.Fatalf("%q is understood as %q, and that as %q (%v)", raw, got.Text, again.Text, err)
		}
		for _, name := range got.Path {
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") {
				t.Fatalf("%q has the element %q", raw, name)
			}
		}
		joined := "/" + strings.Join(got.Path, "/")
		if path.Clean(joined) != joined {
			t.Fatalf("%q has the path %q, which means %q", raw, joined, path.Clean(joined))
		}
		sent, err := url.Parse(got.Wire.String())
		if err != nil || sent.Host != got.Wire.Host || sent.User != nil || strings.TrimSuffix(sent.Path, "/") != strings.TrimSuffix(joined, "/") {
			t.Fatalf("%q would be sent as %q, which others read as host %q and path %q (%v)", raw, got.Wire, sent.Host, sent.Path, err)
		}
	})
}

// TestPlainHosts holds that the mapping, which is left out for plain names, leaves them as they are.
func TestPlainHosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[a-z0-9.]{0,70}`), rapid.StringMatching(`[a-zA-Z0-9.\-_ß。]{0,70}`), rapid.String()).Draw(t, "name")
		if !assets.PlainHost(name) {
			return
		}
		if mapped, err := assets.MappedHost(name); mapped != name || err != nil {
			t.Errorf("%q is mapped to %q, %v", name, mapped, err)
		}
	})
	for name, want := range map[string]bool{"example.com": true, "127.0.0.1": true, "Example.com": false, "xn--bcher-kva.example": false, "a_b": false, "a.": false} {
		if got := assets.PlainHost(name); got != want {
			t.Errorf("%q is plain: %v, want %v", name, got, want)
		}
	}
}
