package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fuse is a context that a signal ends when it has been looked at so many times: at each place of the program that may wait.
type fuse struct {
	context.Context
	burn   context.CancelCauseFunc
	length atomic.Int64
}

func newFuse(ctx context.Context, length int64) *fuse {
	f := &fuse{}
	f.Context, f.burn = context.WithCancelCause(ctx)
	f.length.Store(length)
	return f
}

func (f *fuse) look() {
	if f.length.Add(-1) == 0 {
		f.burn(&signalError{interrupt})
	}
}

func (f *fuse) Done() <-chan struct{} { f.look(); return f.Context.Done() }
func (f *fuse) Err() error            { f.look(); return f.Context.Err() }
func (f *fuse) Value(key any) any     { f.look(); return f.Context.Value(key) }

// Ctrl-C is never taken for a failure, wherever it finds a command: it has done its work (0), or says that it has not (130).
func TestSignalAnywhere(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(dir string) []string{
		"move": func(dir string) []string {
			return []string{"move", folder(t, map[string]string{"a": "1", "b": "2"}), "mem://bucket/", "--temp-dir", dir}
		},
		"move with a file": func(dir string) []string {
			return []string{"move", folder(t, map[string]string{"a": "1", "b": "2"}), "mem://bucket/", "--store", filepath.Join(dir, "move.db")}
		},
		"the demo": func(dir string) []string { return []string{"--dir", dir, "--exit", "--listen", "127.0.0.1:0"} },
		"serve": func(dir string) []string {
			return []string{"serve", "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "tasks.db"), "--allow", "mem://bucket/", "--drain", "0s"}
		},
		"worker": func(dir string) []string {
			return []string{"worker", "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "tasks.db"), "--drain", "0s"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for length := int64(1); length < 4096; length += 1 + length/4 {
				f := newFuse(t.Context(), length)
				// What waits for its signal without looking up any more gets it all the same.
				late := time.AfterFunc(2*time.Second, func() { f.burn(&signalError{interrupt}) })
				var stdout, stderr bytes.Buffer
				err := newApp(strings.NewReader(""), &stdout, &stderr).Run(f, append([]string{"demo"}, args(t.TempDir())...))
				late.Stop()
				f.burn(nil)
				if code := codeOf(err); code != exitOK && code != 130 {
					t.Errorf("after %d looks: code %d, %v\n%s%s", length, code, err, &stdout, &stderr)
				}
				if f.length.Load() > 0 { // it has looked up everywhere
					return
				}
			}
		})
	}
}
