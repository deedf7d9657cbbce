package actors_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// otpWorld is where a scenario is played, and what it has come to.
type otpWorld struct {
	t       *testing.T
	system  *actors.System
	trees   []*otpNode
	kinds   map[string]string // of the supervisors, by name
	ends    context.Context   // of the process that monitors all others
	clients map[string]*otpClient
	over    chan struct{} // closed in the end: what a stubborn process waits for
	tasks   map[string]*actors.Task[string]

	mu       sync.Mutex
	events   []string // since the step began
	downs    []string // since the step began
	mark     int      // how many there were of both
	pids     map[string]messages.PID
	names    map[messages.PID]string
	starts   map[string]int
	healed   map[string]bool
	releases map[string]chan struct{}
}

func otpNewWorld(t *testing.T, trees []*otpNode) *otpWorld {
	w := &otpWorld{
		t: t, system: actors.NewSystem(actors.SystemConfig{}), trees: trees, kinds: map[string]string{}, over: make(chan struct{}),
		clients: map[string]*otpClient{}, tasks: map[string]*actors.Task[string]{},
		pids: map[string]messages.PID{}, names: map[messages.PID]string{}, starts: map[string]int{},
		healed: map[string]bool{}, releases: map[string]chan struct{}{},
	}
	w.enterKinds(trees)
	w.serve(&otpMonitor{w}, actors.GenServerOptions{TrapExit: true})
	return w
}

func (w *otpWorld) enterKinds(trees []*otpNode) {
	for _, n := range trees {
		w.kinds[n.name] = n.kind
		w.enterKinds(n.children)
	}
}

// serve starts a server of the test's own.
func (w *otpWorld) serve(server any, options actors.GenServerOptions) messages.PID {
	g, err := actors.StartGenServer(w.t.Context(), w.system, server, options)
	if err != nil {
		w.t.Fatal(err)
	}
	return g.PID()
}

// monitor sees all processes of the scenario end, and is the stranger who sends signals.
type otpMonitor struct{ w *otpWorld }

func (m *otpMonitor) Init(ctx context.Context) error {
	m.w.ends = ctx
	return nil
}

func (m *otpMonitor) HandleInfo(_ context.Context, message any) error {
	if down, ok := message.(messages.Down); ok {
		m.w.down(down)
	}
	return nil
}

func (w *otpWorld) down(d messages.Down) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.downs = append(w.downs, "down "+w.names[d.PID]+" "+otpShow(d.Reason))
	w.mark++
}

func (w *otpWorld) event(words ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, strings.Join(words, " "))
	w.mark++
}

// up enters a process that has started.
func (w *otpWorld) up(name string, pid messages.PID) {
	w.mu.Lock()
	w.pids[name], w.names[pid] = pid, name
	w.mark++
	w.mu.Unlock()
	w.system.Monitor(w.ends, pid)
}

// count counts the starts of a child.
func (w *otpWorld) count(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts[name]++
	return w.starts[name]
}

func (w *otpWorld) heal(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healed[name] = true
}

func (w *otpWorld) isHealed(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.healed[name]
}

func (w *otpWorld) pid(name string) messages.PID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pids[name]
}

func (w *otpWorld) nameOf(pid messages.PID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[pid]
}

func (w *otpWorld) marked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

// take gives what has happened since it was called last.
func (w *otpWorld) take(unordered bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if unordered {
		otpSortRuns(w.events)
	}
	slices.Sort(w.downs)
	lines := slices.Concat(w.events, w.downs)
	w.events, w.downs = nil, nil
	return lines
}

// otpSortRuns sorts each run of events that begin with the same word by itself.
func otpSortRuns(events []string) {
	verb := func(i int) string { word, _, _ := strings.Cut(events[i], " "); return word }
	for begin := 0; begin < len(events); {
		end := begin
		for end < len(events) && verb(end) == verb(begin) {
			end++
		}
		slices.Sort(events[begin:end])
		begin = end
	}
}

// quiet waits until all processes have answered and nothing more has happened.
func (w *otpWorld) quiet() {
	for before := -1; before != w.marked(); {
		before = w.marked()
		synctest.Wait()
		for _, p := range w.system.Processes() {
			_, _ = w.system.State(w.t.Context(), p.PID) // whatever it is: it has answered
		}
		synctest.Wait()
	}
}

// close ends what is left.
func (w *otpWorld) close() {
	close(w.over)
	if err := w.system.Stop(context.Background()); err != nil {
		w.t.Error(err)
	}
}
