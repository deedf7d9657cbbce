package assets_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

// hanging gives a mover with two slots for each bucket, and a bucket whose objects come when the gate lets them.
func hanging(t *testing.T) (m *assets.Mover, b *fakeBucket, dir string, gate chan struct{}) {
	t.Helper()
	gate, dir = make(chan struct{}), t.TempDir()
	b = new(fakeBucket)
	m = newMover(t, assets.Config{Mux: fakeMux(t, b), Allow: []string{"fake://b/", "fake://other/", "file://" + dir}, MaxPerHost: 2}, dir)
	b.set("x", "content")
	b.set("y", "content")
	b.onRead = func(ctx context.Context, key string) (io.ReadCloser, error) {
		if key == "x" {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return io.NopCloser(strings.NewReader("content")), nil
	}
	return m, b, dir, gate
}

// start runs a move in the background.
func start(t *testing.T, m *assets.Mover, source, destination string) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := m.Move(t.Context(), assets.Move{Source: source, Destination: destination}, nil, nil)
		ended <- err
	}()
	synctest.Wait()
	return ended
}

// wantSnooze fails unless a move was put off because of a host, after it had waited for a time.
func wantSnooze(t *testing.T, d *messages.Decision, host string, began time.Time, waited time.Duration) {
	t.Helper()
	wantVerb(t, d, messages.VerbSnooze, assets.ErrBusy)
	if d.After < 5*time.Second || d.After > 30*time.Second {
		t.Errorf("put off for %s", d.After)
	}
	if text := d.Error(); !strings.Contains(text, host) || !strings.Contains(text, "all 2 requests") {
		t.Errorf("the error should name the host and the limit: %s", text)
	}
	if took := time.Since(began); took != waited {
		t.Errorf("it waited %s, want %s", took, waited)
	}
}

// A host that hangs keeps its own slots and nobody's task.
func TestHangingHostStarvesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, b, dir, gate := hanging(t)
		first, second := start(t, m, "fake://b/x", "file://"+dir+"/1"), start(t, m, "fake://b/x", "file://"+dir+"/2")
		began := time.Now()
		wantSnooze(t, fails(t, m, "fake://b/x", "file://"+dir+"/3"), "fake://b", began, 2*time.Second)
		for range 3 { // now it is known
			began = time.Now()
			wantSnooze(t, fails(t, m, "fake://b/x", "file://"+dir+"/3"), "fake://b", began, 50*time.Millisecond)
		}
		// As a destination it is asked before the asset is downloaded for it.
		reads := b.reads
		began = time.Now()
		wantSnooze(t, fails(t, m, "fake://other/y", "fake://b/z"), "fake://b", began, 50*time.Millisecond)
		if b.reads != reads {
			t.Error("an asset was downloaded in vain")
		}
		began = time.Now()
		move(t, m, "fake://other/y", "file://"+dir+"/y", nil)
		if time.Since(began) != 0 {
			t.Errorf("a move from another host took %s", time.Since(began))
		}
		close(gate)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		move(t, m, "fake://b/x", "file://"+dir+"/3", nil)
	})
}

// While slots are given back a move waits, for however long that takes.
func TestBusyHostIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, _, dir, gate := hanging(t)
		var ended []<-chan error
		for range 12 {
			ended = append(ended, start(t, m, "fake://b/x", "file://"+dir+"/a"))
		}
		for range ended {
			time.Sleep(1900 * time.Millisecond)
			gate <- struct{}{}
			synctest.Wait()
		}
		for _, end := range ended {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
	})
}
