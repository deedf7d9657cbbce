package assets_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/taskrunner-go/taskrunner/assets"
)

func TestAllowed(t *testing.T) {
	t.Parallel()
	lines := []string{
		"https://cdn.example.com/assets/",
		"https://files.example.com/one.svg",
		"http://127.0.0.1:8081/",
		"http://localhost:80",
		"s3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=us-east-1&use_path_style=true",
		"file:///srv/assets",
		"source:file:///srv/assets/private/",
		"destination:mem://in/",
	}
	const read, write = false, true
	for _, c := range []struct {
		url    string
		write  bool
		reason string // empty: allowed
	}{
		{"https://cdn.example.com/assets/a.svg", read, ""},
		{"https://CDN.example.com:443/assets/x/y/a.svg?v=1", read, ""},
		{"https://cdn.example.com/assets/", read, ""},
		{"https://cdn.example.com/assets", read, "not below"},
		{"https://cdn.example.com/assets2/a.svg", read, "not below"},
		{"https://cdn.example.com/assetsX", read, "not below"},
		{"https://cdn.example.com/ASSETS/a.svg", read, "not below"},
		{"https://cdn.example.com/", read, "not below"},
		{"https://cdn.example.com:8443/assets/a.svg", read, "not below"},
		{"http://cdn.example.com/assets/a.svg", read, "not below"},
		{"https://cdn.example.com.evil.example/assets/a.svg", read, "not below"},
		{"https://xcdn.example.com/assets/a.svg", read, "not below"},
		{"https://cdn.example.com/assets/a.svg", write, "not written"},
		{"https://cdn.example.com/assets/%252eX/a.svg", read, ""},
		{"https://files.example.com/one.svg", read, ""},
		{"https://files.example.com/one.svg?x", read, ""},
		{"https://files.example.com/one.svg2", read, "not below"},
		{"https://files.example.com/two.svg", read, "not below"},
		{"http://127.0.0.1:8081/anything", read, ""},
		{"http://127.0.0.1/anything", read, "not below"},
		{"http://[::ffff:127.0.0.1]:8081/anything", read, ""},
		{"http://LOCALHOST/x", read, ""},
		{"s3://bucket/prefix/a", write, ""},
		{"s3://bucket/prefix/a", read, ""},
		{"s3://bucket/prefix2/a", write, "not below"},
		{"s3://Bucket/prefix/a", write, "not below"},
		{"s3://bucket/a", write, "not below"},
		{"file:///srv/assets/a", write, ""},
		{"file:///srv/assets/private/a", read, ""},
		{"file:///srv/assets/private/a", write, "not written"}, // the longer prefix decides
		{"file:///srv/assetsX", read, "not below"},
		{"file:///etc/passwd", read, "not below"},
		{"mem://in/a", write, ""},
		{"mem://in/a", read, "not read"},
		{"mem://other/a", write, "not below"},
	} {
		err := assets.Allowed(lines, c.url, c.write)
		if c.reason == "" && err != nil {
			t.Errorf("%s (write %t): it %v, want it allowed", c.url, c.write, err)
		} else if c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s (write %t): it %v, want something with %q", c.url, c.write, err, c.reason)
		}
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/file", "x")
	_, mux := newMemory(t)
	for _, c := range []struct {
		name   string
		config assets.Config
		want   string
	}{
		{"slots", assets.Config{MaxPerHost: -1}, "Config.MaxPerHost is -1"},
		{"memory", assets.Config{MaxUploadMemory: -1}, "Config.MaxUploadMemory is -1"},
		{"stall", assets.Config{StallTimeout: -time.Second}, "Config.StallTimeout is -1s"},
		{"header", assets.Config{HeaderTimeout: -time.Second}, "Config.HeaderTimeout is -1s"},
		{"network", assets.Config{AllowAddresses: []netip.Prefix{{}}}, "Config.AllowAddresses[0]"},
		{"temp", assets.Config{TempDir: dir + "/none"}, "Config.TempDir"},
		{"url", assets.Config{Allow: []string{"mem://a/", "nonsense"}}, `Config.Allow[1] "nonsense"`},
		{"user", assets.Config{Allow: []string{"https://user:secret@host/"}}, "user name"},
		{"dots", assets.Config{Allow: []string{"file:///srv/../etc"}}, `".."`},
		{"http write", assets.Config{Allow: []string{"destination:https://host/"}}, "nothing can be written"},
		{"http query", assets.Config{Allow: []string{"https://host/?a=b"}}, "has a query"},
		{"no driver", assets.Config{Allow: []string{"s3://bucket/"}}, "the scheme s3:, which is not supported here; want file, http, https, mem"},
		{"driver parameter", assets.Config{Allow: []string{"mem://bucket/?a=b"}, Mux: blob.DefaultURLMux()}, "Config.Allow[0]"},
		{"no folder", assets.Config{Allow: []string{"file://" + dir + "/none"}}, "no such file"},
		{"a file", assets.Config{Allow: []string{"file://" + dir + "/file"}}, "not a directory"},
		{"folder parameter", assets.Config{Allow: []string{"file://" + dir + "?secret_key_path=/etc/x"}}, "secret_key_path"},
		{"folder mode", assets.Config{Allow: []string{"file://" + dir + "?dir_file_mode=755"}}, "dir_file_mode"},
		{"metadata", assets.Config{Allow: []string{"file://" + dir + "?metadata=maybe"}}, "metadata"},
		{"two endpoints", assets.Config{Allow: []string{"mem://b/?nomd5", "mem://b/"}}, "Config.Allow[1]"},
	} {
		if c.config.TempDir == "" {
			c.config.TempDir = t.TempDir()
		}
		if c.config.Mux == nil {
			c.config.Mux = mux
		}
		m, err := assets.New(t.Context(), c.config)
		if err == nil {
			_ = m.Close()
			t.Errorf("%s: no error, want one with %q", c.name, c.want)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		if c.name != "temp" {
			wantNoScratch(t, c.config.TempDir)
		}
	}
}

func TestZeroConfigReachesNothing(t *testing.T) {
	t.Parallel()
	m := newMover(t, assets.Config{})
	err := m.Check(assets.Move{Source: "http://127.0.0.1/a", Destination: "file:///srv/a"})
	if !errors.Is(err, assets.ErrNotAllowed) {
		t.Errorf("Check: %v, want ErrNotAllowed", err)
	}
}

func TestCheckAll(t *testing.T) {
	t.Parallel()
	_, mux := newMemory(t)
	dir := t.TempDir()
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{"https://cdn.example.com/", "mem://in/", "file://" + dir}})
	good := assets.Move{Source: "https://cdn.example.com/a", Destination: "mem://in/a"}
	if err := m.CheckAll([]assets.Move{good, {Source: good.Source, Destination: "file://" + dir + "/a"}}); err != nil {
		t.Error(err)
	}
	if err := m.CheckAll(nil); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name  string
		moves []assets.Move
		want  assets.InputError
	}{
		{"same destination", []assets.Move{good, {Source: "https://cdn.example.com/b", Destination: "mem://in/%61"}},
			assets.InputError{Index: 1, Field: "destination", Value: `"mem://in/%61"`, Reason: "is the destination of move 0 already", Kind: assets.ErrInvalid}},
		{"source is destination", []assets.Move{{Source: "mem://in/a", Destination: "mem://in/%61"}},
			assets.InputError{Index: 0, Field: "destination", Value: `"mem://in/%61"`, Reason: "is the source", Kind: assets.ErrInvalid}},
		{"outside", []assets.Move{good, {Source: "https://evil.example/a", Destination: "mem://in/b"}},
			assets.InputError{Index: 1, Field: "source", Value: `"https://evil.example/a"`, Reason: "is not below any prefix that the operator allows", Kind: assets.ErrNotAllowed}},
		{"scheme", []assets.Move{{Source: "ftp://host/a", Destination: "mem://in/b"}},
			assets.InputError{Index: 0, Field: "source", Value: `"ftp://host/a"`, Reason: `has the scheme "ftp", which is not supported`, Kind: assets.ErrInvalid}},
		{"http destination", []assets.Move{{Source: "mem://in/a", Destination: "https://cdn.example.com/b"}},
			assets.InputError{Index: 0, Field: "destination", Value: `"https://cdn.example.com/b"`, Reason: "is an HTTP URL, which can only be a source", Kind: assets.ErrInvalid}},
		{"folder", []assets.Move{{Source: "https://cdn.example.com/a", Destination: "file://" + dir}},
			assets.InputError{Index: 0, Field: "destination", Value: `"file://` + dir + `"`, Reason: "names a folder, not an asset", Kind: assets.ErrInvalid}},
		{"bucket", []assets.Move{{Source: "https://cdn.example.com/a", Destination: "mem://in/b/"}},
			assets.InputError{Index: 0, Field: "destination", Value: `"mem://in/b/"`, Reason: "names a folder, not an asset", Kind: assets.ErrInvalid}},
		{"credentials", []assets.Move{{Source: "https://u:p@cdn.example.com/a?sig=s3cret", Destination: "mem://in/b"}}, //nolint:gosec // it opens nothing
			assets.InputError{Index: 0, Field: "source", Value: `"https://cdn.example.com/a?\u2026"`, Reason: "contains a user name or password", Kind: assets.ErrInvalid}},
		{"control", []assets.Move{{Source: "https://cdn.example.com/\x1b[31m\xff", Destination: "mem://in/b"}},
			assets.InputError{Index: 0, Field: "source", Value: `"https://cdn.example.com/\x1b[31m\xff"`, Reason: "is not valid UTF-8", Kind: assets.ErrInvalid}},
	} {
		err := m.CheckAll(c.moves)
		var got *assets.InputError
		if !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: %v\nwant %v", c.name, err, &c.want)
		}
		if !errors.Is(err, c.want.Kind) {
			t.Errorf("%s: errors.Is finds no %v", c.name, c.want.Kind)
		}
	}
}

func TestCheckNames(t *testing.T) {
	t.Parallel()
	_, mux := newMemory(t)
	dir := t.TempDir()
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{"https://cdn.example.com/", "mem://in/", "file://" + dir}})
	long := strings.Repeat("a", 256)
	for name, reason := range map[string]string{
		"file://" + dir + "/" + long:                                           "longer than 255",
		"file://" + dir + "/" + strings.Repeat(long[:200]+"/", 6) + "a":        "longer than 1024",
		"mem://in/" + strings.Repeat(long[:200]+"/", 6) + "a":                  "longer than 1024",
		"file://" + dir + "/a.svg.attrs":                                       "ends with .attrs",
		"file://" + dir + "/a.svg.ATTRS":                                       "ends with .attrs",
		"file://" + dir + "/" + assets.ScratchPrefix + "x/1":                   "kept for temporary files",
		"file://" + dir + "/x/" + strings.ToUpper(assets.ScratchPrefix) + "x/": "names a folder",
		"file://" + dir + "/x/" + strings.ToUpper(assets.ScratchPrefix) + "x":  "kept for temporary files",
	} {
		err := m.Check(assets.Move{Source: "https://cdn.example.com/a", Destination: name})
		if !errors.Is(err, assets.ErrInvalid) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.90s: %v, want an error with %q", name, err, reason)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.90s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

// BenchmarkCheckAll checks a request of ten thousand moves, which its caller waits for; ns/op is for one move.
func BenchmarkCheckAll(b *testing.B) {
	_, mux := newMemory(b)
	m := newMover(b, assets.Config{Mux: mux, Allow: []string{"https://cdn.example.com/", "mem://in/"}})
	moves := make([]assets.Move, 10_000)
	for i := range moves {
		moves[i] = assets.Move{Source: fmt.Sprintf("https://cdn.example.com/img/icons/%d.svg", i), Destination: fmt.Sprintf("mem://in/img/%d.svg", i)}
	}
	b.ResetTimer()
	for done := 0; done < b.N; done += len(moves) {
		if err := m.CheckAll(moves[:min(len(moves), b.N-done)]); err != nil {
			b.Fatal(err)
		}
	}
}
