package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// meanwhileCases have the answer to a call lost, and somebody else at work before the call can be repeated.
var meanwhileCases = []struct {
	name      string
	statement string
	call      func(t *testing.T, s *postgres.Store, id string) // whose answer is lost
	meanwhile func(t *testing.T, other *postgres.Store, id string)
	outcomes  int
	counts    map[store.State]int64
}{
	{"a task is claimed and completed", "tasks (", insertOne(), completeOne, 1, map[store.State]int64{store.Completed: 1}},
	{"a task that runs here becomes a row", "bundles", insertOne(running), cancelOne, 0, map[store.State]int64{store.Running: 1}},
	{"a task is retried by hand, claimed and completed", "latest = false", retryOne, completeOne, 2, map[store.State]int64{store.Completed: 1}},
	{"a task is retried by hand and claimed", "latest = false", retryOne, claimOne, 1, map[store.State]int64{store.Running: 1}},
	{"a task is retried by hand and cancelled", "latest = false", retryOne, cancelOne, 2, map[store.State]int64{store.Cancelled: 1}},
}

func insertOne(change ...func(*store.NewTask)) func(t *testing.T, s *postgres.Store, id string) {
	return func(t *testing.T, s *postgres.Store, id string) {
		task := newTask(change...)
		task.ID = id
		inserted, err := s.Insert(t.Context(), moment, []store.NewTask{task})
		if err != nil || inserted[0].Existed || inserted[0].Seq == 0 && task.Node == "" {
			t.Errorf("inserted %+v, error %v", inserted, err)
		}
	}
}

func retryOne(t *testing.T, s *postgres.Store, id string) {
	if moved, err := s.Retry(t.Context(), moment, id); err != nil || moved.From != store.Discarded || moved.ID != id {
		t.Errorf("moved %+v, error %v", moved, err)
	}
}

func claimOne(t *testing.T, other *postgres.Store, _ string) {
	if got := claim(t, other, 1); len(got) != 1 {
		t.Fatalf("claimed %+v", got)
	}
}

func completeOne(t *testing.T, other *postgres.Store, _ string) {
	must(t, finish(t.Context(), other, outcome(claim(t, other, 1)[0], store.Completed)))
}

func cancelOne(t *testing.T, other *postgres.Store, id string) {
	if _, err := other.Cancel(t.Context(), moment, id); err != nil {
		t.Error(err)
	}
}

// TestLostMeanwhile: a call whose answer was lost is repeated when what it did has already gone further, and does not do it twice.
func TestLostMeanwhile(t *testing.T) {
	url := server.NewDatabase(t)
	for _, c := range meanwhileCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := servertest.PostgresProxy(t, server.Socket(t))
			schema := newSchema()
			s := open(t, proxy.Via(url), postgres.Config{Schema: schema})
			other := open(t, url, postgres.Config{Schema: schema})
			task := newTask(running)
			if c.statement == "latest = false" {
				must(t, finish(t.Context(), s, outcome(insert(t, s, task)[0], store.Discarded)))
			}
			happened, back := loseTheRest(proxy, c.statement)
			returned := make(chan struct{})
			go func() {
				defer close(returned)
				c.call(t, s, task.ID)
			}()
			<-happened
			c.meanwhile(t, other, task.ID)
			back()
			<-returned
			page, err := other.Outcomes(t.Context(), store.OutcomeQuery{})
			if err != nil || len(page.Tasks) != c.outcomes {
				t.Errorf("%d outcomes (error %v), want %d", len(page.Tasks), err, c.outcomes)
			}
			if all, err := other.List(t.Context(), store.Query{}); err != nil || len(all) != 1 {
				t.Errorf("listed %+v (error %v), want one task", all, err)
			}
			wantCounts(t, other, c.counts)
		})
	}
}

// loseTheRest loses the answer to the next statement with this text, and whatever is asked after it on other connections, until back
// is called.
func loseTheRest(proxy *servertest.PostgresProxyServer, statement string) (happened <-chan struct{}, back func()) {
	var lost atomic.Int64 // the connection
	writes := servertest.Runs(statement)
	proxy.OnFrame(func(f servertest.Frame) servertest.Verdict {
		if conn := lost.Load(); conn != 0 && f.FromClient && int64(f.Conn) != conn {
			return servertest.Cut
		}
		return servertest.Forward
	})
	happened = proxy.LoseAnswer(func(f servertest.Frame) bool {
		return lost.Load() == 0 && writes(f) && lost.CompareAndSwap(0, int64(f.Conn))
	})
	return happened, func() { proxy.OnFrame(nil) }
}

// TestLostMeanwhileDead has the node of a task buried before the call that has inserted it is repeated: what was taken from it is not
// there twice.
func TestLostMeanwhileDead(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	proxy := servertest.PostgresProxy(t, server.Socket(t))
	s := open(t, proxy.Via(url), postgres.Config{})
	other := open(t, url, postgres.Config{})
	task := newTask(running)
	happened, back := loseTheRest(proxy, "bundles")
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		insertOne(running)(t, s, task.ID)
	}()
	<-happened
	for n := 0; n == 0; time.Sleep(50 * time.Millisecond) {
		var err error
		if n, err = other.Recover(t.Context(), moment, runner); err != nil {
			t.Fatal(err)
		}
	}
	back()
	<-returned
	wantCounts(t, other, map[store.State]int64{store.Available: 1})
	if all, err := other.List(t.Context(), store.Query{}); err != nil || len(all) != 1 {
		t.Errorf("listed %+v (error %v), want one task", all, err)
	}
}
