package remote

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// A listener that stops says up to where it came. So no run of that moment is in doubt: it was accepted here, or another one has it.
func TestNoRunIsInDoubtWhenAListenerStops(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const callers, runs = 32, 100
			h := newHosts(t)
			roomy, other := actors.TaskRunnerConfig{MaxChildren: 50}, actors.TaskRunnerConfig{MaxChildren: 10}
			if durable {
				roomy.Store, other.Store = store.NewMemory(), store.NewMemory()
			}
			l := h.open(first, roomy)
			l.config.DrainTimeout = -1
			h.open(second, other)
			c := h.w.dial(first + "," + second)
			allUp(c, first, second)
			var accepted atomic.Int64
			half := make(chan struct{})
			var calling sync.WaitGroup
			for range callers {
				calling.Go(func() {
					for range runs {
						if _, err := Run[string](t.Context(), c.Runner("numbers"), "where", "", WithWait()); err != nil {
							t.Errorf("Run while a listener stops: %v", err)
							return
						}
						if accepted.Add(1) == callers*runs/2 {
							close(half)
						}
					}
				})
			}
			<-half
			if err := l.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			calling.Wait()
			time.Sleep(time.Second)
			h.mu.Lock()
			defer h.mu.Unlock()
			if ran := h.ran[first] + h.ran[second]; ran != callers*runs || h.ran[first] == 0 || h.ran[second] == 0 {
				t.Errorf("%v have run, want %d of both together", h.ran, callers*runs)
			}
		})
	}
}

// Whoever waits with a call of gRPC is told the outcome while the listener drains, and behind that why there is none.
func TestAwaitWhileAListenerStops(t *testing.T) {
	for name, test := range map[string]struct {
		ends bool
		want codes.Code
		took time.Duration
	}{
		"the task ends in time": {true, codes.OK, time.Second},
		"the task does not":     {false, codes.Unavailable, DefaultDrainTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(t)
				l := h.open(first, actors.TaskRunnerConfig{Store: store.NewMemory()})
				task := where(t, h.w.dial(first), "stay")
				conn, err := grpc.NewClient("passthrough:///"+first, grpc.WithTransportCredentials(insecure.NewCredentials()),
					grpc.WithContextDialer(h.w.connect))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				answer := make(chan error)
				go func() {
					_, err := remotepb.NewTasksClient(conn).Await(t.Context(), &remotepb.AwaitRequest{Runner: "numbers", TaskId: task.ID()})
					answer <- err
				}()
				synctest.Wait()
				began, stopped := time.Now(), make(chan error)
				go func() { stopped <- l.Stop(t.Context()) }()
				time.Sleep(time.Second)
				if test.ends {
					close(h.release)
				}
				if err := <-answer; status.Code(err) != test.want {
					t.Errorf("%v, want %v", err, test.want)
				}
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took < test.took || took > test.took+endTimeout {
					t.Errorf("stopped after %s, want %s", took, test.took)
				}
			})
		})
	}
}

// A client that is silent holds nobody up for longer than endTimeout.
func TestStopWhenAClientIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t)
		l := h.open(first, actors.TaskRunnerConfig{})
		c := h.w.dial(first)
		allUp(c, first)
		h.w.silence(first)
		began := time.Now()
		if err := l.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > endTimeout+drainEvery {
			t.Errorf("stopped after %s, want %s at most", took, endTimeout)
		}
	})
}
