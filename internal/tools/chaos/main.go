// Chaos kills the processes of a program that runs durable tasks, again and again, and judges whether the library has kept what
// it promises.
//
//	make chaos STORE=sqlite ROUNDS=1000
//	make chaos STORE=postgres ROUNDS=5 VARIANT=pause PAUSE=60s
//
// docs/chaos.md says what it notices, and how to read its report. In short:
//
// It starts itself as child processes (one on SQLite, three on PostgreSQL) which accept and run tasks under load, through the
// public API alone, and tell everything that they are told, right when they are. Tasks fail, panic, put themselves off, do not
// heed their cancel; random ones are cancelled and retried by hand, also those of other processes. Meanwhile the processes are killed
// at random moments, or what else the variant does. After some rounds all is worked off, and a judge compares what the processes
// told with what the store says.
//
// Its exit code is 1 if a promise was broken, with the story of the tasks and the seed, 2 if it could not judge, and 3 if
// what it needs is not there. The same seed makes the same choices, though not at the same moments.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

func main() {
	if config := os.Getenv(asChild); config != "" {
		if err := runChild(context.Background(), config); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// plan is what is to be done.
type plan struct {
	store   string
	variant *variant
	rounds  int
	each    int // rounds in a session
	seed    uint64
	program string        // which is started as a child: we ourselves
	pause   time.Duration // of processes that stand still
	soon    time.Duration // within which what died is to run again
	server  *server       // nil on SQLite
	dir     string        // where databases are made; kept if a promise was broken
	disk    string        // the folder in dir where they are; that may be a disk of its own
	count   *progress
}

// errBroken says that a promise was broken; which, was printed.
var errBroken = errors.New("chaos: a promise was broken")

// run is the program, and gives its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, err := parse(args, stderr)
	if err == nil && p.variant.mounts && !harness.IsAgain() {
		var code int
		if code, err = harness.Again(ctx, p.program, args, false, stdout, stderr); err == nil {
			return code
		}
	}
	if err == nil {
		err = hosting(ctx, func(t testing.TB) error { return p.run(ctx, t, stdout) })
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSkipped), errors.Is(err, harness.ErrNoNamespace), errors.Is(err, harness.ErrLinux):
		_, _ = fmt.Fprintln(stderr, err)
		return 3
	case errors.Is(err, errBroken):
		return 1
	}
	_, _ = fmt.Fprintln(stderr, err)
	return 2
}

// parse makes a plan of the flags.
func parse(args []string, stderr io.Writer) (*plan, error) {
	p := &plan{count: &progress{}}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&p.store, "store", onSQLite, onSQLite+" or "+onPostgres)
	name := flags.String("variant", "kill", "what is done to the processes:\n"+about())
	flags.IntVar(&p.rounds, "rounds", 100, "how often it is done")
	flags.IntVar(&p.each, "session", 100, "after how many rounds all is worked off and judged; then a new database is begun")
	flags.DurationVar(&p.pause, "pause", 6*time.Second, "how long processes stand still at least, in the variant pause")
	flags.DurationVar(&p.soon, "soon", 5*time.Second, "within what time a task runs again whose process has died")
	flags.Uint64Var(&p.seed, "seed", rand.Uint64(), "repeats the choices of another run")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	p.variant = findVariant(*name, p.store)
	var err error
	switch {
	case p.variant == nil:
		return nil, fmt.Errorf("chaos: there is no variant %q on store %q; there are\n%s", *name, p.store, about())
	case p.rounds < 1 || p.each < 1 || flags.NArg() > 0:
		return nil, fmt.Errorf("chaos: -rounds is %d, -session %d and there are %d arguments: want at least 1, 1 and no arguments", p.rounds, p.each, flags.NArg())
	}
	p.program, err = os.Executable()
	return p, err
}

func about() string {
	var lines []string
	for _, v := range variants() {
		lines = append(lines, fmt.Sprintf("  %-18s %s (%s)", v.name, v.about, strings.Join(v.stores, ", ")))
	}
	return strings.Join(lines, "\n")
}

// run does all sessions and prints what they came to.
func (p *plan) run(ctx context.Context, t testing.TB, out io.Writer) (err error) {
	leave, err := p.enter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave(err == nil)) }()
	if p.store == onPostgres {
		p.server = newServer(t, p.variant)
	}
	began := time.Now()
	_, _ = fmt.Fprintf(out, "%s on %s, %d rounds, seed %d\n", p.variant.name, p.store, p.rounds, p.seed)
	hide := p.show(ctx, out)
	var sum tally
	for number, done := 0, 0; done < p.rounds && err == nil; number++ {
		rounds := min(p.each, p.rounds-done)
		err = p.session(ctx, t, out, number, rounds, &sum)
		done += rounds
	}
	hide()
	_, _ = fmt.Fprintf(out, "\n%s on %s: %d rounds in %s\n", p.variant.name, p.store, p.count.rounds.Load(), time.Since(began).Round(time.Second))
	sum.print(out)
	if err != nil {
		_, _ = fmt.Fprintf(out, "\nThe databases are left in %s. To choose the same again: -store %s -variant %s -rounds %d -session %d -seed %d\n",
			p.dir, p.store, p.variant.name, p.rounds, p.each, p.seed)
		return err
	}
	_, _ = fmt.Fprintln(out, "No promise was broken.")
	return nil
}

// enter makes the folder of the databases. What it gives leaves it again, and removes it if all is well.
func (p *plan) enter() (leave func(well bool) error, err error) {
	if p.dir, err = os.MkdirTemp("", "chaos"); err != nil {
		return nil, err
	}
	p.disk = filepath.Join(p.dir, "databases")
	if err := os.Mkdir(p.disk, 0o755); err != nil {
		return nil, err
	}
	unmount := func() {}
	if p.variant.mounts {
		if unmount, err = mountDisk(p.disk, diskSize); err != nil {
			return nil, err
		}
	}
	return func(well bool) error {
		switch {
		case well:
			unmount()
			return os.RemoveAll(p.dir)
		case p.variant.mounts: // the disk goes with us
			return os.CopyFS(filepath.Join(p.dir, "saved"), os.DirFS(p.disk))
		}
		return nil
	}, nil
}

// session does one session and judges it.
func (p *plan) session(ctx context.Context, t testing.TB, out io.Writer, number, rounds int, sum *tally) error {
	places, whole, err := p.places(t, number)
	if err != nil {
		return err
	}
	s := newSession(p, number, places)
	failure := s.run(ctx, rounds)
	if failure != nil && ctx.Err() != nil {
		return failure
	}
	h := &s.history
	if h.Log, h.Tasks, err = whole.read(ctx); err != nil {
		return errors.Join(failure, err)
	}
	sorted, found := judge(h)
	sum.count(h, sorted)
	sum.AddAll(&s.notes)
	if failure != nil {
		found = append(found, violation{"all is worked off", failure.Error(), nil})
	}
	if len(found) == 0 {
		return nil
	}
	accuse(out, h, found)
	_, _ = fmt.Fprintf(out, "\nwhat the last processes printed:\n%s", s.lastWords())
	return errBroken
}

// showEvery is how often the progress is shown.
const showEvery = 10 * time.Second

// show shows how far it has come, until hide.
func (p *plan) show(ctx context.Context, out io.Writer) (hide func()) {
	ctx, cancel := context.WithCancel(ctx)
	var showing sync.WaitGroup
	showing.Go(func() {
		for harness.Pause(ctx, showEvery) {
			c := p.count
			_, _ = fmt.Fprintf(out, "round %d of %d: %d kills, %d tasks accepted, %d outcomes told\n",
				c.rounds.Load(), p.rounds, c.kills.Load(), c.accepted.Load(), c.outcomes.Load())
		}
	})
	return func() { cancel(); showing.Wait() }
}
