package remote

import (
	"context"
	"flag"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

var runs = flag.Int("runs", 20_000, "how many runs TestSlowPeer offers")

// slowChildren tasks of slowTime each are fewer in a second than are offered.
const (
	slowChildren = 16
	slowTime     = time.Millisecond
)

// serveSlow is serveOurs with a runner that is slow.
func serveSlow(ctx context.Context, path string, tell func(net.Addr)) error {
	runner, stop, err := startRunnerOf(ctx, path, slowChildren, func(ctx context.Context, a arguments) (arguments, error) {
		pause(ctx, slowTime)
		return a, nil
	})
	if err != nil {
		return err
	}
	return serveRunner(ctx, runner, stop, tell)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// TestSlowPeer offers many runs to a listener whose runner is slow. Those that were accepted and have not ended are never more than the
// listener's limit, if its runner records nothing, and memory is bounded on both sides.
//
//	go test -run TestSlowPeer ./remote -v -runs 1000000
func TestSlowPeer(t *testing.T) {
	for name, path := range map[string]string{"without a store": "", "SQLite": filepath.Join(t.TempDir(), "tasks.db")} {
		t.Run(name, func(t *testing.T) {
			s, err := startServer(t.Context(), "slow", path)
			if err != nil {
				t.Fatal(err)
			}
			o := &offer{}
			began := time.Now()
			heap := peakHeap(func() { o.offer(t, s.address, *runs, path != "") })
			took := time.Since(began)
			used, err := s.stop()
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s of %s runs have ended in %s, at most %s at a time were accepted and had not; heap of the client at most %.0f MiB, memory of the listener at most %.0f MiB",
				figures.Thousands(float64(o.ended.Load())), figures.Thousands(float64(*runs)), took.Round(time.Second), figures.Thousands(float64(o.most.Load())),
				float64(heap)/(1<<20), used.memory)
			if o.ended.Load() != int64(*runs) {
				t.Errorf("%d runs have ended, want %d", o.ended.Load(), *runs)
			}
			if limit := int64(remote.DefaultMaxUnacknowledged); path == "" && o.most.Load() > limit+offerers { // whoever is told of an end counts it a moment later
				t.Errorf("%d were accepted and had not ended, want at most %d", o.most.Load(), limit)
			}
			if heap > 256<<20 {
				t.Errorf("the heap of the client had %d MiB", heap>>20)
			}
		})
	}
}

// offer counts the runs that were accepted, and those that have ended.
type offer struct{ open, most, ended atomic.Int64 }

// offerers is how many goroutines call Run. Each accepted task is awaited by one of its own, as a service does. Of recorded tasks all are
// accepted long before they have run, and one goroutine follows their outcomes.
const offerers = 256

func (o *offer) offer(t *testing.T, address string, runs int, recorded bool) {
	client, err := remote.Dial(t.Context(), address, remote.DialConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(runs))
	var offering, awaiting sync.WaitGroup
	if recorded {
		awaiting.Go(func() { o.follow(t, client, runs) })
	}
	for range offerers {
		offering.Go(func() {
			for left.Add(-1) >= 0 {
				task, err := remote.Run[arguments](t.Context(), client.Runner(runnerName), kindName, someArguments(), remote.WithWait())
				if err != nil {
					t.Error(err)
					return
				}
				o.begin()
				if !recorded {
					awaiting.Go(func() { o.end(t, task) })
				}
			}
		})
	}
	offering.Wait()
	awaiting.Wait()
	if err := client.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func (o *offer) begin() {
	open := o.open.Add(1)
	for most := o.most.Load(); open > most && !o.most.CompareAndSwap(most, open); most = o.most.Load() {
	}
}

func (o *offer) end(t *testing.T, task *remote.Handle[arguments]) {
	if _, err := task.Await(t.Context()); err != nil {
		t.Error(err)
		return
	}
	o.open.Add(-1)
	o.ended.Add(1)
}

// follow counts the outcomes of recorded tasks. They may come before their Run has returned.
func (o *offer) follow(t *testing.T, client *remote.Client, runs int) {
	for _, err := range client.Runner(runnerName).Outcomes(t.Context(), store.FromOldest) {
		if err != nil {
			t.Error(err)
			return
		}
		o.open.Add(-1)
		if o.ended.Add(1) == int64(runs) {
			return
		}
	}
}

// peakHeap is how large the heap is at most while f is done.
func peakHeap(f func()) (peak uint64) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	f()
	close(done)
	watching.Wait()
	return peak
}
