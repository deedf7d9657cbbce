package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// Whoever is no longer known is told nothing more, over what was open before too.
func TestWhoIsNoLongerKnown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "clients.json")
	write := func(clients ...AllowedClient) {
		t.Helper()
		rows := []map[string]any{}
		for _, c := range clients {
			rows = append(rows, map[string]any{"name": c.Name, "token_sha256": c.TokenSHA256, "runners": c.Runners, "kinds": c.Kinds, "run": c.Run})
		}
		data, err := json.Marshal(rows)
		if err == nil {
			err = os.WriteFile(file, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(allowed("good", "*"), allowed("bad", "*"))
	h := openHarbour(t, ListenConfig{ClientsFile: file})
	c, err := Dial(t.Context(), h.address, DialConfig{TLS: h.town.client("x"), Token: "bad's"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	task, err := Run[string](t.Context(), c.Runner("kept"), "hang", "")
	if err != nil {
		t.Fatal(err)
	}
	conn := h.dial("x", "bad's")
	awaited, watched := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := remotepb.NewTasksClient(conn).Await(t.Context(), &remotepb.AwaitRequest{Runner: "kept", TaskId: task.ID()})
		awaited <- err
	}()
	go func() {
		for _, err := range c.Runner("kept").Outcomes(t.Context(), store.FromNow) {
			if err != nil {
				watched <- err
			}
		}
	}()
	h.until("both wait", func() bool { return h.streamsOf(t) > 0 && bytes.Count(stacks(), []byte("(*tasksServer).watch(")) > 0 })
	write(allowed("good", "*"))
	if err := <-awaited; status.Code(err) != codes.Unauthenticated {
		t.Errorf("Await: %v, want Unauthenticated", err)
	}
	if err := <-watched; !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("Outcomes: %v, want ErrUnauthenticated", err)
	}
	h.until("the stream has ended", func() bool { return !c.Nodes()[0].Up })
	began := time.Now()
	if _, err := Run[string](t.Context(), c.Runner("kept"), "echo", ""); !errors.Is(err, ErrUnauthenticated) || !errors.Is(err, ErrNoConnection) {
		t.Errorf("Run: %v, want ErrUnauthenticated and ErrNoConnection", err)
	}
	if err := c.Ready(t.Context()); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("Ready: %v, want ErrUnauthenticated", err)
	}
	if took := time.Since(began); took > DefaultAway/2 {
		t.Errorf("it took %s to say so", took)
	}
	h.wantResponsive()
}

// A run with the id of another's task is no acceptance, over the service for other languages too; and its kind is not told.
func TestTheIDOfAnothersTaskInACall(t *testing.T) {
	t.Parallel()
	h := openHarbour(t, ListenConfig{Clients: []AllowedClient{allowed("spy", "echo")}})
	task, err := Run[string](t.Context(), h.good.Runner("kept"), "hang", "secret")
	if err != nil {
		t.Fatal(err)
	}
	tasks := remotepb.NewTasksClient(h.dial("x", "spy's"))
	answer, err := tasks.Run(t.Context(), &remotepb.RunRequest{Runner: "kept", Kind: "echo", Args: `""`, TaskId: task.ID()})
	if status.Code(err) != codes.PermissionDenied || bytes.Contains([]byte(err.Error()), []byte("hang")) {
		t.Errorf("%v, %v, want PermissionDenied without the kind", answer, err)
	}
}

// A client that asks for large results and does not take them has few of them kept, and gets them all when it does.
func TestResultsThatAreNotTaken(t *testing.T) {
	const asked, size = 64, 1 << 19
	ctx := t.Context()
	r, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "kept", Store: store.NewMemory(), DrainTimeout: -1, Kinds: actors.Kinds{
		actors.Kind("large", func(context.Context, int) (string, error) { return string(bytes.Repeat([]byte("x"), size)), nil }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	l, err := newListener(ListenConfig{Runners: []*actors.TaskRunner{r}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(l, &fuzzStream{ctx: context.WithValue(ctx, peerKey{}, &peer{name: localName, door: l.door})})
	s.ctx = ctx
	task, err := actors.Run[string](ctx, r, "large", 1)
	if err == nil {
		_, err = task.Await(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	for number := range uint64(asked) {
		payload := payloadOf(&remotepb.Await{TaskId: task.ID()})
		s.handleOne(&frame{number: number + 2, runner: []byte("kept"), what: askAwait, payload: payload})
	}
	batch := s.out.take(nil)
	kept := 0
	for i := range batch {
		if completed, ok := batch[i].outcome.(messages.Completed); ok {
			kept += len(completed.Result)
		}
	}
	if len(batch) != asked || kept > maxOutcomeBytes {
		t.Errorf("%d answers with %d bytes, want %d with %d at most", len(batch), kept, asked, maxOutcomeBytes)
	}
	for i := range batch {
		if batch[i].later != nil {
			s.lookUp(&batch[i])
		}
		if completed, ok := batch[i].outcome.(messages.Completed); !ok || len(completed.Result) < size {
			t.Errorf("answer %d is %T", i, batch[i].outcome)
		}
	}
}
