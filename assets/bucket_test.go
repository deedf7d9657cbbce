package assets_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/gcerrors"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// fakeMover gives a mover that reads from and writes to b, and a folder with one asset.
func fakeMover(t testing.TB, b *fakeBucket, content string) (m *assets.Mover, source, dir string) {
	t.Helper()
	dir = t.TempDir()
	m = newMover(t, assets.Config{Mux: fakeMux(t, b), Allow: []string{"fake://b/", "file://" + dir}}, dir)
	writeFile(t, dir+"/a.txt", content)
	return m, "file://" + dir + "/a.txt", dir
}

func TestBucketErrors(t *testing.T) {
	t.Parallel()
	for code, verb := range map[gcerrors.ErrorCode]messages.Verb{
		gcerrors.NotFound: messages.VerbDiscard, gcerrors.PermissionDenied: messages.VerbDiscard, gcerrors.InvalidArgument: messages.VerbDiscard,
		gcerrors.Unknown: messages.VerbRetry, gcerrors.Internal: messages.VerbRetry, gcerrors.ResourceExhausted: messages.VerbRetry,
		gcerrors.FailedPrecondition: messages.VerbRetry, gcerrors.DeadlineExceeded: messages.VerbRetry,
	} {
		b := &fakeBucket{onWrite: func(context.Context, []byte) ([]byte, error) { return nil, codeError(code) }}
		m, source, dir := fakeMover(t, b, "content")
		if d := fails(t, m, source, "fake://b/x"); d.Verb != verb {
			t.Errorf("writing with %s: %s, want %s", code, d.Verb, verb)
		}
		b.set("y", "content")
		b.onRead = func(context.Context, string) (io.ReadCloser, error) { return nil, codeError(code) }
		if d := fails(t, m, "fake://b/y", "file://"+dir+"/y"); d.Verb != verb {
			t.Errorf("reading with %s: %s, want %s", code, d.Verb, verb)
		}
		b.onAttributes = func(context.Context, string) error { return codeError(code) }
		if d := fails(t, m, "fake://b/y", "file://"+dir+"/y"); d.Verb != verb {
			t.Errorf("asking with %s: %s, want %s", code, d.Verb, verb)
		}
	}
}

// What arrives is looked at: size, MD5, and where there is none that can be trusted, the content.
func TestBucketVerifies(t *testing.T) {
	t.Parallel()
	none := func([]byte) []byte { return nil }
	odd := func([]byte) []byte { return bytes.Repeat([]byte{7}, 16) } // as encrypted buckets give
	cut := func(_ context.Context, c []byte) ([]byte, error) { return c[:len(c)-1], nil }
	spoil := func(_ context.Context, c []byte) ([]byte, error) { return append([]byte("X"), c[1:]...), nil }
	for _, c := range []struct {
		name  string
		write func(context.Context, []byte) ([]byte, error)
		md5   func([]byte) []byte
		kind  error
		reads int
	}{
		{"good", nil, nil, nil, 0},
		{"good, no MD5", nil, none, nil, 1},
		{"good, odd MD5", nil, odd, nil, 1},
		{"cut", cut, nil, assets.ErrShortBody, 0},
		{"spoilt", spoil, nil, assets.ErrChecksum, 1},
		{"spoilt, no MD5", spoil, none, assets.ErrChecksum, 1},
	} {
		b := &fakeBucket{onWrite: c.write, md5: c.md5}
		m, source, _ := fakeMover(t, b, "content")
		if c.kind == nil {
			move(t, m, source, "fake://b/x", nil)
		} else {
			wantVerb(t, fails(t, m, source, "fake://b/x"), messages.VerbRetry, c.kind)
		}
		if b.reads != c.reads {
			t.Errorf("%s: it was read %d times, want %d", c.name, b.reads, c.reads)
		}
	}
}

// An object is the one that was put there if its ETag is, or else its MD5, or else its content.
func TestBucketHolds(t *testing.T) {
	t.Parallel()
	none := func([]byte) []byte { return nil }
	tag := func(c []byte) string { return `"` + hashOf(string(c))[:8] + `"` }
	for _, c := range []struct {
		name  string
		md5   func([]byte) []byte
		etag  func([]byte) string
		reads int
	}{
		{"etag and MD5", nil, tag, 0}, {"MD5", nil, nil, 0}, {"etag", none, tag, 0}, {"nothing", none, nil, 1},
	} {
		b := &fakeBucket{md5: c.md5, etag: c.etag}
		m, source, _ := fakeMover(t, b, "content")
		previous := move(t, m, source, "fake://b/x", nil)
		b.reads = 0
		if got := move(t, m, source, "fake://b/x", &previous); got.Copied || b.reads != c.reads {
			t.Errorf("%s: copied %t, read %d times; want not copied, %d times", c.name, got.Copied, b.reads, c.reads)
		}
		b.set("x", "CONTENT")
		if got := move(t, m, source, "fake://b/x", &previous); !got.Copied {
			t.Errorf("%s: other content was not seen", c.name)
		}
		b.set("x", "longer content")
		if got := move(t, m, source, "fake://b/x", &previous); !got.Copied {
			t.Errorf("%s: another size was not seen", c.name)
		}
	}
}

func TestBucketAsSource(t *testing.T) {
	t.Parallel()
	var body string
	b := &fakeBucket{etag: func(c []byte) string { return `"` + hashOf(string(c))[:8] + `"` }}
	m, _, dir := fakeMover(t, b, "")
	b.set("x", "content")
	previous := move(t, m, "fake://b/x", "file://"+dir+"/x", nil)
	if again := move(t, m, "fake://b/x", "file://"+dir+"/x", &previous); again.Unchanged != assets.ByValidator || b.reads != 1 {
		t.Errorf("unchanged %q after %d readings", again.Unchanged, b.reads)
	}
	b.onRead = func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(body)), nil
	}
	for _, body = range []string{"conten", "contents", ""} {
		wantVerb(t, fails(t, m, "fake://b/x", "file://"+dir+"/y"), messages.VerbRetry, assets.ErrShortBody)
	}
	// Spoilt on the way: the second reading is another, or the first was right and the MD5 is none.
	readings := []string{"CONTENT", "content"}
	b.onRead = func(context.Context, string) (io.ReadCloser, error) {
		body, readings = readings[0], readings[1:]
		return io.NopCloser(strings.NewReader(body)), nil
	}
	wantVerb(t, fails(t, m, "fake://b/x", "file://"+dir+"/y"), messages.VerbRetry, assets.ErrChecksum)
	wantNoFile(t, dir+"/y")
	b.onRead, b.md5 = nil, func([]byte) []byte { return bytes.Repeat([]byte{7}, 16) }
	move(t, m, "fake://b/x", "file://"+dir+"/y", nil)
	wantFile(t, dir+"/y", "content")
}

// A driver that takes whatever it got for the whole must not get the chance.
func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(fakeBucket)
		m, source, _ := fakeMover(t, b, strings.Repeat("x", 10*assets.SpoolMemory))
		ctx, cancel := context.WithCancel(t.Context())
		b.onWrite = func(_ context.Context, content []byte) ([]byte, error) {
			cancel()
			synctest.Wait()
			return content, nil
		}
		if _, err := m.Move(ctx, assets.Move{Source: source, Destination: "fake://b/x"}, nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		if _, err := b.find("x"); err == nil {
			t.Error("an object was stored")
		}
	})
}

// Nothing that a provider does not do can hold a move for ever.
func TestStalls(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name   string
		toFake bool
		set    func(b *fakeBucket)
		took   time.Duration
	}{
		{"asking", false, func(b *fakeBucket) {
			b.onAttributes = func(ctx context.Context, _ string) error { return wait(ctx) }
		}, time.Minute},
		{"opening", false, func(b *fakeBucket) {
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) { return nil, wait(ctx) }
		}, time.Minute},
		{"reading", false, func(b *fakeBucket) {
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) { return blockedReader{ctx}, nil }
		}, time.Minute},
		{"reading slowly", false, func(b *fakeBucket) {
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) {
				return io.NopCloser(&slowReader{ctx: ctx, left: 1 << 20, piece: 1, pause: 59 * time.Second}), nil
			}
		}, time.Minute},
		{"reading slowly, at first fast enough", false, func(b *fakeBucket) {
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) {
				fast := &slowReader{ctx: ctx, left: 10 * 60 << 10, piece: 60 << 10, pause: 59 * time.Second} // a KiB per second, ten times
				return io.NopCloser(io.MultiReader(fast, &slowReader{ctx: ctx, left: 1 << 20, piece: 1000, pause: time.Second})), nil
			}
		}, 10*59*time.Second + time.Minute},
		{"reading again", false, func(b *fakeBucket) {
			b.md5 = func([]byte) []byte { return bytes.Repeat([]byte{7}, 16) }
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) {
				if b.reads == 1 {
					return io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20))), nil
				}
				return blockedReader{ctx}, nil
			}
		}, time.Minute},
		{"opening again", false, func(b *fakeBucket) {
			b.md5 = func([]byte) []byte { return bytes.Repeat([]byte{7}, 16) }
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) {
				if b.reads == 1 {
					return io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20))), nil
				}
				return nil, wait(ctx)
			}
		}, time.Minute},
		{"verifying", true, func(b *fakeBucket) {
			b.md5 = func([]byte) []byte { return nil }
			b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) { return blockedReader{ctx}, nil }
		}, time.Minute},
		{"writing", true, func(b *fakeBucket) {
			b.onWrite = func(ctx context.Context, _ []byte) ([]byte, error) { return nil, wait(ctx) }
		}, time.Minute + 16*time.Second}, // 1 MiB at the slowest rate that is waited for
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := new(fakeBucket)
				content := strings.Repeat("x", 1<<20)
				m, source, dir := fakeMover(t, b, content)
				target := "fake://b/x"
				if !c.toFake {
					b.set("y", content)
					source, target = "fake://b/y", "file://"+dir+"/y"
				}
				c.set(b)
				start := time.Now()
				wantVerb(t, fails(t, m, source, target), messages.VerbRetry, assets.ErrStalled)
				if took := time.Since(start); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}

// slowReader gives a piece after each pause.
type slowReader struct {
	ctx         context.Context
	left, piece int
	pause       time.Duration
	ready       int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.ready == 0 {
		select {
		case <-time.After(r.pause): // in a bubble of fake time
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
		r.ready = min(r.piece, r.left)
	}
	n := min(len(p), r.ready)
	clear(p[:n])
	r.left, r.ready = r.left-n, r.ready-n
	return n, nil
}

// What comes slowly, but not too slowly, arrives, and so does a short end.
func TestSlowSourceArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBucket{md5: func([]byte) []byte { return nil }}
		m, _, dir := fakeMover(t, b, "")
		content := string(make([]byte, 100*61<<10+1))
		b.set("x", content)
		b.onRead = func(ctx context.Context, _ string) (io.ReadCloser, error) {
			return io.NopCloser(&slowReader{ctx: ctx, left: len(content), piece: 61 << 10, pause: 59 * time.Second}), nil
		}
		move(t, m, "fake://b/x", "file://"+dir+"/x", nil)
		wantFile(t, dir+"/x", content)
	})
}

// The memory for uploads is shared: the second large one waits for the first, and can be called off.
func TestUploadMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(fakeBucket)
		dir := t.TempDir()
		m := newMover(t, assets.Config{Mux: fakeMux(t, b), Allow: []string{"fake://b/", "file://" + dir}, MaxUploadMemory: 3 << 20}, dir)
		writeFile(t, dir+"/a", strings.Repeat("x", 1<<20))
		gate := make(chan struct{})
		uploads := 0
		b.onWrite = func(_ context.Context, content []byte) ([]byte, error) {
			uploads++
			<-gate
			return content, nil
		}
		ended := make(chan error)
		for _, name := range []string{"x", "y"} {
			go func() {
				_, err := m.Move(t.Context(), assets.Move{Source: "file://" + dir + "/a", Destination: "fake://b/" + name}, nil, nil)
				ended <- err
			}()
			synctest.Wait()
		}
		if uploads != 1 {
			t.Errorf("%d uploads at the same time, want 1", uploads)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Move(ctx, assets.Move{Source: "file://" + dir + "/a", Destination: "fake://b/z"}, nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		for range 2 {
			gate <- struct{}{}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}
