package assets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// reload gives an outcome as the next run gets it, through the database.
func reload(t testing.TB, moved assets.Moved) *assets.Moved {
	t.Helper()
	text, err := json.Marshal(moved)
	if err != nil {
		t.Fatal(err)
	}
	var again assets.Moved
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	return &again
}

// counted is an origin with one asset that counts what it is asked for and what it sends.
type counted struct {
	mu     sync.Mutex
	body   string
	header http.Header
	// ignores has it answer conditional requests as if they were none.
	ignores bool
	asked   int
	sent    int
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	maps.Copy(w.Header(), c.header)
	same := c.header.Get("ETag") != "" && r.Header.Get("If-None-Match") == c.header.Get("ETag") ||
		c.header.Get("ETag") == "" && c.header.Get("Last-Modified") != "" && r.Header.Get("If-Modified-Since") == c.header.Get("Last-Modified")
	if same && !c.ignores {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if c.body != "" {
		c.sent++
	}
	_, _ = io.WriteString(w, c.body)
}

func (c *counted) set(body string, header ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body, c.header, c.asked, c.sent = body, http.Header{}, 0, 0
	for i := 0; i+1 < len(header); i += 2 {
		c.header.Set(header[i], header[i+1])
	}
}

func (c *counted) want(t testing.TB, asked int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != asked {
		t.Errorf("the origin was asked %d times, want %d", c.asked, asked)
	}
}

const (
	longAgo  = "Wed, 02 Jan 2019 03:04:05 GMT"
	otherDay = "Thu, 03 Jan 2019 03:04:05 GMT"
)

// destinations are the kinds of place to which everything below is done: one without checksums, one with.
func destinations(t *testing.T, try func(t *testing.T, d *destination)) {
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		try(t, &destination{
			prefix: "file://" + dir,
			read:   func(name string) (string, error) { b, err := os.ReadFile(dir + "/" + name); return string(b), err },
			write:  func(name, content string) { writeFile(t, dir+"/"+name, content) },
			remove: func(name string) error { return os.Remove(dir + "/" + name) },
			dir:    dir,
		})
	})
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		mem, mux := newMemory(t)
		try(t, &destination{
			prefix: "mem://new",
			config: assets.Config{Mux: mux},
			read: func(name string) (string, error) {
				b, err := mem.bucket.ReadAll(t.Context(), name)
				return string(b), err
			},
			write:  func(name, content string) { mem.put(t, name, content) },
			remove: func(name string) error { return mem.bucket.Delete(t.Context(), name) },
			dir:    t.TempDir(),
		})
	})
}

type destination struct {
	prefix string
	config assets.Config
	read   func(name string) (string, error)
	write  func(name, content string)
	remove func(name string) error
	dir    string
}

func (d *destination) mover(t testing.TB, allow ...string) *assets.Mover {
	d.config.Allow = append(allow, d.prefix)
	return newMover(t, d.config, d.dir)
}

func (d *destination) want(t testing.TB, name, content string) {
	t.Helper()
	if got, err := d.read(name); err != nil || got != content {
		t.Errorf("%s holds %.80q (%v), want %.80q", name, got, err, content)
	}
}

func TestMoveAgain(t *testing.T) {
	t.Parallel()
	destinations(t, func(t *testing.T, d *destination) {
		origin := new(counted)
		base := serve(t, origin.ServeHTTP)
		m := d.mover(t, base)
		source, target := base+"/a.svg", d.prefix+"/a.svg"
		run := func(what string, previous *assets.Moved, copied bool, how assets.Unchanged, asked int, content string) assets.Moved {
			t.Helper()
			got := move(t, m, source, target, previous)
			if got.Copied != copied || got.Unchanged != how {
				t.Errorf("%s: copied %t, unchanged %q; want %t, %q", what, got.Copied, got.Unchanged, copied, how)
			}
			if got.SHA256 != hashOf(content) || got.Bytes != int64(len(content)) {
				t.Errorf("%s: %+v, want the outcome for %q", what, got, content)
			}
			origin.want(t, asked)
			d.want(t, "a.svg", content)
			return got
		}
		for _, validators := range [][]string{
			{"ETag", `"v1"`}, {"Etag", `W/"v1"`}, {"Last-Modified", longAgo}, {"ETag", `"v1"`, "Last-Modified", longAgo},
		} {
			for _, ignores := range []bool{false, true} {
				origin.ignores = ignores
				what := fmt.Sprintf("%s, ignored %t: ", validators, ignores)
				origin.set("one", validators...)
				first := run(what+"first", nil, true, "", 1, "one")
				origin.set("one", validators...)
				again := run(what+"again", reload(t, first), false, assets.ByValidator, 1, "one")
				if again.Validators != first.Validators || again.Object != first.Object {
					t.Errorf("the second outcome has %+v and %+v, the first %+v and %+v", again.Validators, again.Object, first.Validators, first.Object)
				}
				origin.set("one", validators...)
				run(what+"third", reload(t, again), false, assets.ByValidator, 1, "one")

				d.write("a.svg", "bad")
				origin.set("one", validators...)
				run(what+"destination changed", reload(t, again), true, "", 2, "one")
				if err := d.remove("a.svg"); err != nil {
					t.Fatal(err)
				}
				origin.set("one", validators...)
				last := run(what+"destination removed", reload(t, again), true, "", 2, "one")

				origin.set("two", "ETag", `"v2"`, "Last-Modified", otherDay)
				run(what+"source changed", reload(t, last), true, "", 1, "two")
			}
		}
		origin.ignores = false
		origin.set("one")
		first := run("no validator", nil, true, "", 1, "one")
		origin.set("one")
		again := run("no validator, again", reload(t, first), false, assets.ByContent, 1, "one")
		origin.set("one", "ETag", `"v3"`)
		again = run("other validator, same content", reload(t, again), false, assets.ByContent, 1, "one")
		origin.set("one", "ETag", `"v3"`)
		again = run("that validator", reload(t, again), false, assets.ByValidator, 1, "one")
		origin.set("one", "ETag", `"v4"`, "Cache-Control", "no-store")
		again = run("other headers", reload(t, again), true, "", 1, "one")
		if again.CacheControl != "no-store" {
			t.Errorf("got %+v", again.Headers)
		}
		d.write("a.svg", "bad")
		origin.set("one", "Cache-Control", "no-store")
		run("no validator, destination changed", reload(t, again), true, "", 1, "one")
		origin.set("two", "Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		first = run("modified just now", nil, true, "", 1, "two")
		origin.set("TWO", "Last-Modified", first.Validators.LastModified.Format(http.TimeFormat))
		run("modified twice in a second", reload(t, first), true, "", 1, "TWO")
	})
}

// An outcome of another move must not vouch for this one.
func TestMoveIgnoresStrangePrevious(t *testing.T) {
	t.Parallel()
	origin := new(counted)
	base, dir := serve(t, origin.ServeHTTP), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}})
	origin.set("one", "ETag", `"v1"`)
	first := move(t, m, base+"/a", "file://"+dir+"/a", nil)
	for _, change := range []func(*assets.Moved){
		func(p *assets.Moved) { p.Source += "x" },
		func(p *assets.Moved) { p.Destination += "x" },
		func(p *assets.Moved) { *p = assets.Moved{} },
		func(p *assets.Moved) { p.SHA256 = "" },
	} {
		previous := first
		change(&previous)
		if got := move(t, m, base+"/a", "file://"+dir+"/a", &previous); !got.Copied {
			t.Errorf("with the outcome %+v nothing was copied", previous)
		}
	}
}

// Between places of every kind, small, exactly as large as the memory, larger, and empty.
func TestMoveBetweenPlaces(t *testing.T) {
	t.Parallel()
	mem, mux := newMemory(t)
	from, to := t.TempDir(), t.TempDir()
	var body atomic.Pointer[string]
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, *body.Load()) })
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "source:file://" + from, "file://" + to, "mem://in/"}}, from, to)
	for _, size := range []int{0, 1, 511, 512, assets.SpoolMemory - 1, assets.SpoolMemory, assets.SpoolMemory + 1, 3*assets.SpoolMemory + 7} {
		content := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		body.Store(&content)
		writeFile(t, from+"/a", content)
		mem.put(t, "a", content)
		for i, source := range []string{base + "/a", "file://" + from + "/a", "mem://in/a"} {
			name := fmt.Sprintf("%d/%d.bin", size, i)
			for _, target := range []string{"file://" + to + "/" + name, "mem://in/" + name} {
				got := move(t, m, source, target, nil)
				if got.Bytes != int64(size) || got.SHA256 != hashOf(content) || !got.Copied {
					t.Errorf("%s → %s: %+v", source, target, got)
				}
			}
			wantFile(t, to+"/"+name, content)
			if stored, _ := mem.get(t, name); stored != content {
				t.Errorf("%s holds %d bytes, want %d", name, len(stored), size)
			}
		}
		for _, dir := range []string{from, to} {
			wantNoTemporary(t, dir)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		size  int64
		steps []int
		want  []float64
	}{
		{100, []int{100, 100}, []float64{1}}, // too small to be worth a word
		{mib, []int{mib, mib / 2, mib / 2}, []float64{0.5, 0.75, 0.99, 1}},
		{mib, []int{mib / 8, mib / 8, mib / 8, mib / 8}, []float64{0.125, 0.25, 1}},
		{-1, []int{mib, mib}, []float64{1}},
		{0, nil, []float64{1}},
		{mib, []int{3 * mib}, []float64{0.99, 1}}, // read again by the driver
	} {
		got := assets.Progress(c.size, c.steps)
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%d bytes in steps of %d: %v, want %v", c.size, c.steps, got, c.want)
		}
	}
	steps := make([]int, 20_000)
	for i := range steps {
		steps[i] = mib
	}
	if many := assets.Progress(10_000*mib, steps); len(many) > 102 {
		t.Errorf("%d reports of one asset", len(many))
	}
}

func TestMoveReportsProgress(t *testing.T) {
	t.Parallel()
	destinations(t, func(t *testing.T, d *destination) {
		base := serve(t, give(strings.Repeat("x", 4<<20)))
		m := d.mover(t, base)
		last := 0.0
		count := 0
		_, err := m.Move(t.Context(), assets.Move{Source: base + "/a", Destination: d.prefix + "/a"}, nil, func(f float64) {
			if f <= last || f > 1 {
				t.Errorf("progress from %v to %v", last, f)
			}
			last, count = f, count+1
		})
		// net/http announces no length for what is written at once, so nothing but the end may be known.
		if err != nil || last != 1 || count < 1 {
			t.Errorf("%v; %d reports up to %v", err, count, last)
		}
	})
}

func TestMoveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	destinations(t, func(t *testing.T, d *destination) {
		started := make(chan struct{})
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			w.(http.Flusher).Flush()
			close(started)
			<-r.Context().Done()
		})
		m := d.mover(t, base)
		d.write("a", "old")
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("no longer wanted")
		go func() {
			<-started
			cancel(why)
		}()
		_, err := m.Move(ctx, assets.Move{Source: base + "/a", Destination: d.prefix + "/a"}, nil, nil)
		var decision *messages.Decision
		if !errors.Is(err, why) || errors.As(err, &decision) {
			t.Errorf("error %v, want the cause and no decision", err)
		}
		d.want(t, "a", "old")
		wantNoTemporary(t, d.dir)
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	base, dir := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(started); <-r.Context().Done() }), t.TempDir()
	temp := t.TempDir()
	m, err := assets.New(t.Context(), assets.Config{TempDir: temp, Allow: []string{base, "file://" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	move := assets.Move{Source: base + "/a", Destination: "file://" + dir + "/a"}
	ended := make(chan error, 1)
	go func() {
		_, err := m.Move(context.WithoutCancel(t.Context()), move, nil, nil)
		ended <- err
	}()
	<-started
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if err := m.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	group.Wait()
	select {
	case err := <-ended:
		if !errors.Is(err, assets.ErrClosed) {
			t.Errorf("the move under way ended with %v, want ErrClosed", err)
		}
	default:
		t.Error("Close did not wait for the move under way")
	}
	if _, err := m.Move(t.Context(), move, nil, nil); !errors.Is(err, assets.ErrClosed) {
		t.Errorf("Move after Close: %v, want ErrClosed", err)
	}
	for _, err := range m.Index(t.Context(), base) {
		if !errors.Is(err, assets.ErrClosed) {
			t.Errorf("Index after Close: %v, want ErrClosed", err)
		}
	}
	wantNoScratch(t, temp)
	wantNoScratch(t, dir)
}

func TestMaxPerHost(t *testing.T) {
	t.Parallel()
	const limit, moves = 3, 20
	var now, peak atomic.Int32
	gate := make(chan struct{})
	handler := func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		<-gate
		_, _ = io.WriteString(w, "x")
	}
	base, dir := serve(t, handler), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}, MaxPerHost: limit})
	var group sync.WaitGroup
	for i := range moves {
		group.Go(func() { move(t, m, base+"/a", fmt.Sprintf("file://%s/%d", dir, i), nil) })
	}
	for range moves {
		gate <- struct{}{}
	}
	group.Wait()
	if p := peak.Load(); p > limit {
		t.Errorf("%d requests at the same time, want at most %d", p, limit)
	}
	// Who waits for room can be called off.
	blocked := make(chan struct{})
	for range limit {
		group.Go(func() { move(t, m, base+"/a", "file://"+dir+"/b", nil) })
	}
	go func() {
		defer close(blocked)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Move(ctx, assets.Move{Source: base + "/a", Destination: "file://" + dir + "/c"}, nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	}()
	<-blocked
	for range limit {
		gate <- struct{}{}
	}
	group.Wait()
}

// bodyOf makes an asset of up to 300 KB of its path: some fit into memory, some do not.
func bodyOf(path string) string { return strings.Repeat(path, 1+len(path)*97%3000) }

func TestManyMovesAtOnce(t *testing.T) {
	t.Parallel()
	destinations(t, func(t *testing.T, d *destination) {
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, bodyOf(r.URL.Path)) //nolint:gosec // no browser reads it
		})
		m := d.mover(t, base)
		var group sync.WaitGroup
		for i := range 64 {
			group.Go(func() {
				for j := range 5 {
					name := strings.Repeat(fmt.Sprintf("%d-%d", i, j), 1+(i+j)%20)
					got := move(t, m, base+"/"+name, d.prefix+"/"+name, nil)
					if got.SHA256 != hashOf(bodyOf("/"+name)) {
						t.Errorf("%s arrived as something else", name)
					}
					again := move(t, m, base+"/"+name, d.prefix+"/"+name, &got)
					if again.Copied {
						t.Errorf("%s was copied twice", name)
					}
				}
			})
		}
		group.Wait()
		wantNoTemporary(t, d.dir)
	})
}

// The same destination by many at once, which a request cannot ask for but two requests can: one of them wins whole.
func TestSameDestinationAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", r.URL.Path)
		_, _ = io.WriteString(w, strings.Repeat(r.URL.Path, 50_000)) //nolint:gosec // no browser reads it
	})
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + dir}}, dir)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() { move(t, m, fmt.Sprintf("%s/%d", base, i%10), "file://"+dir+"/a", nil) })
	}
	group.Wait()
	content, err := os.ReadFile(dir + "/a")
	if err != nil || string(content) != strings.Repeat(string(content[:2]), 50_000) {
		t.Errorf("the asset is a mixture of %d bytes (%v)", len(content), err)
	}
}

func TestMoveErrorsTellDecisions(t *testing.T) {
	t.Parallel()
	m := newMover(t, assets.Config{})
	d := fails(t, m, "nonsense", "file:///srv/a")
	var input *assets.InputError
	if wantVerb(t, d, messages.VerbDiscard, assets.ErrInvalid); !errors.As(d, &input) || input.Field != "source" || input.Index != -1 {
		t.Errorf("error %v, want an InputError about the source", d)
	}
}
