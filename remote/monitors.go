package remote

import (
	"context"
	"sync"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// monitors watch runners for clients. Each watch is a process in the system of the runner, since only processes are told of ends.
type monitors struct {
	mu   sync.Mutex
	open map[*actors.GenServer]struct{}
}

func newMonitors() *monitors { return &monitors{open: map[*actors.GenServer]struct{}{}} }

// watch has told called when the server of the runner ends, once; it must wait for nothing. leave ends the watch.
func (m *monitors) watch(runner *actors.TaskRunner, told func(messages.Down)) (leave func()) {
	watcher, err := actors.StartGenServer(context.Background(), runner.System(), &runnerWatcher{runner: runner, told: told}, actors.GenServerOptions{
		TrapExit: true, // or it would end with its system before it has told
	})
	if err != nil { // the system has stopped
		told(messages.Down{Reason: messages.NoProc})
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[watcher] = struct{}{}
	return func() { m.close(watcher) }
}

func (m *monitors) close(watcher *actors.GenServer) {
	m.mu.Lock()
	_, open := m.open[watcher]
	delete(m.open, watcher)
	m.mu.Unlock()
	if open {
		_ = watcher.Stop(context.Background()) // that it has ended by itself is as good
	}
}

// stop ends all watches.
func (m *monitors) stop() {
	m.mu.Lock()
	open := m.open
	m.open = map[*actors.GenServer]struct{}{}
	m.mu.Unlock()
	for watcher := range open {
		_ = watcher.Stop(context.Background())
	}
}

// runnerWatcher is told of the end of one runner's server.
type runnerWatcher struct {
	runner *actors.TaskRunner
	told   func(messages.Down)
}

// Init begins the watch. A runner that is not there is told of at once (PR-06).
func (w *runnerWatcher) Init(ctx context.Context) error {
	w.runner.System().Monitor(ctx, messages.Name(w.runner.Name()))
	return nil
}

// HandleInfo passes on the end, and ends itself.
func (w *runnerWatcher) HandleInfo(_ context.Context, message any) error {
	if down, ok := message.(messages.Down); ok {
		w.told(down)
		return actors.Stop(messages.Normal)
	}
	return nil
}

// Terminate tells of the end of the whole system, which stops its processes in an order of its own: the Down of the runner may be
// behind that of the watcher. A watcher that has told, or is not wanted any more, ends with messages.Normal.
func (w *runnerWatcher) Terminate(_ context.Context, reason error) {
	if !messages.Is(reason, messages.Normal) {
		w.told(messages.Down{Reason: reason})
	}
}
