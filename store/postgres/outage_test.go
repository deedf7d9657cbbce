package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// soon is how long a call waits in these tests for a server that is away.
const soon = 100 * time.Millisecond

// patience is how long something may take that is waited for.
const patience = 20 * time.Second

func shortly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

func wantAway(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: error %v, want one that is ErrUnavailable and says that the context has ended", what, err)
	}
	if _, reason, _ := strings.Cut(err.Error(), context.DeadlineExceeded.Error()+": "); reason == "" || strings.Contains(reason, "context") {
		t.Errorf("%s: the error does not say what was in the way: %v", what, err)
	}
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(5 * time.Millisecond) // it waits for a server
	}
}

// interrupted is a store behind a proxy that can be closed.
func interrupted(t *testing.T, cfg postgres.Config) (*postgres.Store, *servertest.PostgresProxyServer, string) {
	t.Helper()
	url := server.NewDatabase(t)
	proxy := servertest.PostgresProxy(t, server.Socket(t))
	return open(t, proxy.Via(url), cfg), proxy, url
}

func goAway(proxy *servertest.PostgresProxyServer) {
	proxy.Refuse()
	proxy.Cut()
}

// TestAway: while the server is away, each call waits as long as its context lets it, and says why it has failed. What was answered
// before is there afterwards, and what runs here and nobody waits for is given back.
func TestAway(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{})
	task := insert(t, s, newTask(running))[0]
	insert(t, s, newTask())
	claimed := claim(t, s, 1)[0]
	goAway(proxy)
	_, err := s.Insert(shortly(t), moment, []store.NewTask{newTask()})
	wantAway(t, "Insert", err)
	_, err = s.Insert(shortly(t), moment, []store.NewTask{newTask(known)})
	wantAway(t, "Insert with an id", err)
	_, err = s.Claim(shortly(t), moment, store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: 1})
	wantAway(t, "Claim", err)
	wantAway(t, "Finish", finish(shortly(t), s, outcome(task, store.Completed)))
	wantAway(t, "Finish of a claimed one", finish(shortly(t), s, outcome(claimed, store.Completed)))
	_, err = s.Get(shortly(t), task.ID)
	wantAway(t, "Get", err)
	_, err = s.Cancel(shortly(t), moment, task.ID)
	wantAway(t, "Cancel", err)
	_, err = s.List(shortly(t), store.Query{})
	wantAway(t, "List", err)
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ping: %v, want ErrUnavailable", err)
	}
	proxy.Pass()
	if got := get(t, s, task.ID); got.State != store.Running {
		t.Errorf("the outcome that was given up was recorded: %s", got.State)
	}
	must(t, s.Ping(t.Context()))
	must(t, finish(t.Context(), s, outcome(task, store.Completed)))
}

// TestTooFewConnections: a server that does not let a store have the connections that it needs is told when it is opened, with what the
// server says; and if they are taken away later, by the calls.
func TestTooFewConnections(t *testing.T) {
	t.Parallel()
	database := server.NewDatabase(t)
	u, err := url.Parse(database)
	must(t, err)
	admin, err := url.Parse(server.URL(t))
	must(t, err)
	role := "limited_" + newSchema()
	execute(t, admin.String(), `CREATE ROLE `+role+` LOGIN PASSWORD 's3cr3t' CONNECTION LIMIT 7`,
		`GRANT CREATE ON DATABASE "`+strings.TrimPrefix(u.Path, "/")+`" TO `+role)
	u.User = url.UserPassword(role, "s3cr3t")
	said := `too many connections for role "` + role + `"`
	_, err = postgres.Open(t.Context(), u.String(), postgres.Config{})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "needs 8 connections, of which it got 7") || !strings.Contains(err.Error(), said) {
		t.Errorf("error %v, want ErrUnavailable that says %q, and how many there must be", err, said)
	}
	execute(t, admin.String(), `ALTER ROLE `+role+` CONNECTION LIMIT 8`)
	eventually(t, "the connections of the first attempt have ended", func() bool {
		s, err := postgres.Open(t.Context(), u.String(), postgres.Config{})
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
			execute(t, admin.String(), `ALTER ROLE `+role+` CONNECTION LIMIT 0`,
				`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '`+role+`'`)
			eventually(t, "a call says why it has failed", func() bool {
				_, err := s.Insert(shortly(t), moment, []store.NewTask{newTask()})
				return err != nil && strings.Contains(err.Error(), said)
			})
		}
		return err == nil
	})
}

// TestOutageTold: the logger is told once of each outage, with the reason, and not of one connection that has broken.
func TestOutageTold(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	c := postgres.NewContact(slog.New(slog.NewTextHandler(&log, nil)))
	now := moment
	for range 3 { // one connection now and then
		c.Lose(errors.New("unexpected EOF"), now)
		c.Find()
		now = now.Add(postgres.Calm / 2)
	}
	if log.Len() > 0 {
		t.Errorf("told: %s", log.String())
	}
	for range 100 { // some connections go on
		c.Lose(errors.New("refused first"), now)
		c.Lose(errors.New("refused"), now)
		c.Find()
		now = now.Add(postgres.Calm / 2)
	}
	now = now.Add(2 * postgres.Calm)
	for range 3 {
		c.Lose(errors.New("refused again"), now)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, "error=refused\n") || !strings.Contains(text, `error="refused again"`) {
		t.Errorf("told: %s", text)
	}
}

// TestLogged: what a store is told when the server is away names the address.
func TestLogged(t *testing.T) {
	t.Parallel()
	told := make(chan slog.Record, 100)
	s, proxy, _ := interrupted(t, postgres.Config{Logger: slog.New(recorder{told})})
	insert(t, s, newTask())
	goAway(proxy)
	if record := <-told; record.Message != "the database cannot be reached" {
		t.Errorf("told: %+v", record)
	}
	_, err := s.Get(shortly(t), newTask().ID)
	wantAway(t, "Get", err)
	if len(told) > 0 {
		t.Errorf("told again: %+v", <-told)
	}
}

// recorder is a slog.Handler.
type recorder struct{ records chan slog.Record }

func (r recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r recorder) Handle(_ context.Context, record slog.Record) error {
	r.records <- record
	return nil
}
func (r recorder) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r recorder) WithGroup(string) slog.Handler      { return r }

// TestAwayWaits: a call whose context lasts is answered when the server is back.
func TestAwayWaits(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{})
	task := insert(t, s, newTask(running))[0]
	goAway(proxy)
	var wg sync.WaitGroup
	wg.Go(func() { must(t, finish(t.Context(), s, outcome(task, store.Completed))) })
	wg.Go(func() {
		_, err := s.Insert(t.Context(), moment, []store.NewTask{newTask(running)})
		must(t, err)
	})
	wantAway(t, "Get", func() error { _, err := s.Get(shortly(t), task.ID); return err }())
	proxy.Pass()
	wg.Wait()
	wantCounts(t, s, map[store.State]int64{store.Completed: 1, store.Running: 1})
}

// TestNobodyWaits: tasks whose Insert was given up while it was under way run all the same, somewhere, if they exist.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	s, proxy, url := interrupted(t, postgres.Config{})
	other := open(t, url, postgres.Config{})
	var gone atomic.Bool
	proxy.OnFrame(func(f servertest.Frame) servertest.Verdict { // the answers stay away, and the server does what it is asked for
		if gone.Load() && !f.FromClient {
			return servertest.Drop
		}
		if servertest.Runs("bundles (id")(f) || servertest.Runs("picked")(f) {
			gone.Store(true)
		}
		return servertest.Forward
	})
	n := newTask(running)
	_, err := s.Insert(shortly(t), moment, []store.NewTask{n})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the context's", err)
	}
	eventually(t, "the task is recorded", func() bool { _, err := other.Get(t.Context(), n.ID); return err == nil })
	gone.Store(false)
	proxy.OnFrame(nil)
	proxy.Cut()
	eventually(t, "the task is given back", func() bool { return get(t, other, n.ID).State == store.Available })
	if task := get(t, other, n.ID); task.Attempt != 0 || len(task.History) != 0 {
		t.Errorf("given back it is %+v", task)
	}
}

// TestSpool: outcomes that are given while the server is away are recorded by the store, though nobody waits any more.
func TestSpool(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool")
	s, proxy, url := interrupted(t, postgres.Config{Spool: path})
	tasks := insert(t, s, newTask(running), newTask(running), newTask(running))
	goAway(proxy)
	for i, to := range []store.State{store.Completed, store.Discarded} {
		err := finish(shortly(t), s, outcome(tasks[i], to))
		wantAway(t, "Finish", err)
	}
	proxy.Pass()
	for i, to := range []store.State{store.Completed, store.Discarded, store.Running} {
		eventually(t, string(to), func() bool { return get(t, s, tasks[i].ID).State == to })
	}
	eventually(t, "the spool is emptied", func() bool { info, err := os.Stat(path); return err == nil && info.Size() == 24 })

	// The next process: it has the spool as it was, and the first one is dead.
	goAway(proxy)
	wantAway(t, "Finish", finish(shortly(t), s, outcome(tasks[2], store.Completed)))
	left := filepath.Join(t.TempDir(), "left")
	content, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(left, append(content, 0, 0, 0, 9, 1, 2, 3), 0o600)) // and a record that was torn
	next := open(t, url, postgres.Config{Spool: left})
	eventually(t, "the next process has recorded it", func() bool { return get(t, next, tasks[2].ID).State == store.Completed })
	proxy.Pass()
	wantCounts(t, next, map[store.State]int64{store.Completed: 2, store.Discarded: 1})
}

// TestSpoolFull: what does not fit waits in memory, and is told.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{Spool: filepath.Join(t.TempDir(), "spool"), SpoolBytes: 2000})
	tasks := insert(t, s, newTask(running), newTask(running))
	goAway(proxy)
	large := outcome(tasks[0], store.Completed)
	large.Result = make([]byte, 3000)
	err := finish(shortly(t), s, large)
	wantAway(t, "Finish", err)
	if !errors.Is(err, postgres.ErrSpoolFull) {
		t.Errorf("error %v does not say that the spool is full", err)
	}
	err = finish(shortly(t), s, outcome(tasks[1], store.Completed))
	wantAway(t, "Finish", err)
	var waiting sync.WaitGroup
	waiting.Go(func() { must(t, finish(t.Context(), s, large)) })
	proxy.Pass()
	waiting.Wait()
	eventually(t, "both are recorded", func() bool {
		counts, err := s.Counts(t.Context(), "")
		return err == nil && counts[store.Completed] == 2
	})
}

// TestSpoolOfOthers: a spool is refused that is another database's, is none, cannot be one, or is in use. The error is about the file, and
// neither it nor a lock is left.
func TestSpoolOfOthers(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	dir := t.TempDir()
	refused := func(what, path string, want error, named string) {
		t.Helper()
		_, err := postgres.Open(t.Context(), url, postgres.Config{Schema: newSchema(), Spool: path})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), fmt.Sprintf("Config.Spool is %q: ", path)) || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: error %v, want %v that names Config.Spool, %s, and %q", what, err, want, path, named)
		} else if strings.Contains(err.Error(), "the database is") || strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("%s: the error is about the database: %v", what, err)
		}
	}
	path := filepath.Join(dir, "spool")
	s := open(t, url, postgres.Config{Schema: newSchema(), Spool: path})
	refused("in use by another schema's", path, store.ErrInvalid, "another schema")
	must(t, s.Close())
	refused("another schema's", path, store.ErrInvalid, "another schema")
	must(t, os.Remove(path+".lock"))

	for name, content := range map[string]string{"foreign": "it is a text of somebody's, longer than a header", "short": "Dear diary,\n"} {
		foreign := filepath.Join(dir, name)
		must(t, os.WriteFile(foreign, []byte(content), 0o600))
		refused("a text", foreign, store.ErrInvalid, "something else")
		if after, err := os.ReadFile(foreign); err != nil || string(after) != content {
			t.Errorf("the text has become %q, %v", after, err)
		}
	}
	folder, loop, device := filepath.Join(dir, "folder"), filepath.Join(dir, "loop"), filepath.Join(dir, "device")
	must(t, errors.Join(os.Mkdir(folder, 0o700), os.Symlink(loop, loop), os.Symlink(os.DevNull, device)))
	refused("a folder", folder, store.ErrInvalid, "no regular file")
	refused("a device", device, store.ErrInvalid, "no regular file")
	refused("a link to itself", loop, syscall.ELOOP, "symbolic links")
	refused("in a directory that is not there", filepath.Join(dir, "no", "spool"), os.ErrNotExist, filepath.Join(dir, "no")+" cannot be used (no such file")
	refused("in a file", filepath.Join(path, "spool"), syscall.ENOTDIR, "not a directory")
	if left, err := filepath.Glob(filepath.Join(dir, "*.lock")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSpoolInUse: two stores of one database do not share a spool.
func TestSpoolInUse(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	path := filepath.Join(t.TempDir(), "spool")
	s := open(t, url, postgres.Config{Spool: path})
	_, err := postgres.Open(t.Context(), url, postgres.Config{Spool: path})
	if want := fmt.Sprintf("Config.Spool is %q: another store uses it", path); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want ErrLocked that says %s", err, want)
	}
	must(t, s.Close())
	open(t, url, postgres.Config{Spool: path})
}

// TestClosedWhileAway: Close does not wait for ever.
func TestClosedWhileAway(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{})
	task := insert(t, s, newTask(running))[0]
	goAway(proxy)
	answered := make(chan error, 1)
	go func() { answered <- finish(t.Context(), s, outcome(task, store.Completed)) }()
	wantAway(t, "Get", func() error { _, err := s.Get(shortly(t), task.ID); return err }())
	must(t, s.Close())
	if err := <-answered; !errors.Is(err, store.ErrClosed) {
		t.Errorf("a call that waited was answered %v, want ErrClosed", err)
	}
}

// load has goroutines insert and finish tasks until stop is called, which gives how many have ended.
func load(t *testing.T, s *postgres.Store) (stop func() int64) {
	t.Helper()
	var ended atomic.Int64
	var wg sync.WaitGroup
	done := make(chan bool)
	for i := range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				n := newTask(running)
				if i%2 == 0 {
					n = newTask()
					n.Kind = n.ID
				}
				if err := oneLife(t, s, n); err != nil {
					t.Error(err)
					return
				}
				ended.Add(1)
			}
		})
	}
	return func() int64 {
		close(done)
		wg.Wait()
		return ended.Load()
	}
}

// oneLife takes a task to its end, by way of a claim if it waits.
func oneLife(t *testing.T, s *postgres.Store, n store.NewTask) error {
	inserted, err := s.Insert(t.Context(), moment, []store.NewTask{n})
	if err != nil {
		return err
	}
	task := inserted[0].Task
	for task.State != store.Running {
		claimed, err := s.Claim(t.Context(), moment, store.Claim{Runner: runner, Node: node, Kinds: []string{n.Kind}, Limit: 1})
		if err != nil {
			return err
		}
		if len(claimed.Tasks) == 1 {
			task = claimed.Tasks[0]
		}
	}
	return finish(t.Context(), s, outcome(task, store.Completed))
}

// wantAll checks that each task has one outcome.
func wantAll(t *testing.T, s *postgres.Store, n int64) {
	t.Helper()
	wantCounts(t, s, map[store.State]int64{store.Completed: n})
	seen := map[string]bool{}
	for query := (store.OutcomeQuery{Limit: store.MaxList}); ; {
		found, err := s.Outcomes(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Tasks) == 0 {
			break
		}
		for _, task := range found.Tasks {
			if seen[task.ID] || task.Run != 1 {
				t.Errorf("task %s has run %d times, or has two outcomes", task.ID, task.Run)
			}
			seen[task.ID] = true
		}
		query.After = found.Next
	}
	if len(seen) != int(n) {
		t.Errorf("%d tasks have outcomes, want %d", len(seen), n)
	}
}

// TestCuts cuts all connections again and again.
func TestCuts(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{})
	stop := load(t, s)
	for range 20 {
		time.Sleep(50 * time.Millisecond) // there is to be work under way
		proxy.Cut()
	}
	wantAll(t, s, stop())
}

// TestRestarts kills the server and starts it again, under load.
func TestRestarts(t *testing.T) {
	t.Parallel()
	own := servertest.Postgres(t)
	s := open(t, own.NewDatabase(t), postgres.Config{})
	stop := load(t, s)
	for range 3 {
		time.Sleep(300 * time.Millisecond) // there is to be work under way
		own.Kill()
		own.Start()
	}
	time.Sleep(300 * time.Millisecond) // and afterwards too
	wantAll(t, s, stop())
}

// TestStalled: a network that swallows all without a word is noticed by time.
func TestStalled(t *testing.T) {
	t.Parallel()
	const late = 2 * time.Second // less, and a server that is busy with other tests cannot even be opened
	s, proxy, _ := interrupted(t, postgres.Config{Timeout: late})
	task := insert(t, s, newTask(running))[0]
	proxy.Stall()
	wantAway(t, "Finish", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*late)
		defer cancel()
		return finish(ctx, s, outcome(task, store.Completed))
	}())
	proxy.Pass()
	must(t, finish(t.Context(), s, outcome(task, store.Completed)))
	wantAll(t, s, 1)
}
