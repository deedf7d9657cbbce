// Netchaos has processes send tasks to each other over a network of their own, makes trouble for both, and judges whether the library has
// kept what it promises.
//
//	make netchaos RUNS=100000 ROUNDS=100
//	make netchaos VARIANT=rough
//
// docs/chaos.md says what it notices, and how to read its report. In short:
//
// It starts itself as receivers, which have task runners with SQLite behind remote.Listen, and as senders, which ask them for runs by
// remote.Dial and wait for the outcomes, each on a machine of its own: a network namespace. Both note what they do in a journal on disk. Meanwhile
// processes are killed, stopped and paused, and machines are cut off: with a sound and without one, in both directions and
// in one. In the end all is worked off, and a judge compares the journals with the databases.
//
// Its exit code is 1 if a promise was broken, with the story of the runs and the seed, 2 if it could not judge, and 3 if
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
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
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
	variant *variant
	roles   []string // by machine
	names   []string // of the machines
	rounds  int
	runs    int
	seed    uint64
	program string // which is started as a child: we ourselves
}

// Errors that decide the exit code.
var (
	errBroken  = errors.New("netchaos: a promise was broken") // which, was printed
	errMissing = errors.New("netchaos: what it needs is not there")
)

// run is the program, and gives its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, err := parse(args, stderr)
	if err == nil {
		err = needs("ip", "ss", "nft")
	}
	if err == nil && !harness.IsAgain() {
		var code int
		if code, err = harness.Again(ctx, p.program, args, true, stdout, stderr); err == nil {
			return code
		}
	}
	if err == nil {
		err = p.run(ctx, stdout)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errBroken):
		return 1
	case errors.Is(err, errMissing), errors.Is(err, harness.ErrNoNamespace), errors.Is(err, harness.ErrLinux):
		_, _ = fmt.Fprintln(stderr, err)
		return 3
	}
	_, _ = fmt.Fprintln(stderr, err)
	return 2
}

func needs(programs ...string) error {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w; ./test.sh --install gets it", errMissing, err)
		}
	}
	return nil
}

// parse makes a plan of the flags.
func parse(args []string, stderr io.Writer) (*plan, error) {
	p := &plan{}
	flags := flag.NewFlagSet("netchaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("variant", "all", "what is done to the processes and their network:\n"+about())
	flags.IntVar(&p.rounds, "rounds", 100, "how often it is done, at most")
	flags.IntVar(&p.runs, "runs", 100_000, "how many runs are asked for")
	flags.Uint64Var(&p.seed, "seed", rand.Uint64(), "repeats the choices of another run")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	p.variant = findVariant(*name)
	switch {
	case p.variant == nil:
		return nil, fmt.Errorf("netchaos: there is no variant %q; there are\n%s", *name, about())
	case p.rounds < 1 || p.runs < 1 || flags.NArg() > 0:
		return nil, fmt.Errorf("netchaos: -rounds is %d, -runs %d and there are %d arguments: want at least 1, 1 and no arguments", p.rounds, p.runs, flags.NArg())
	}
	p.roles, p.names = p.variant.roles()
	var err error
	p.program, err = os.Executable()
	return p, err
}

func about() string {
	var lines []string
	for _, v := range variants() {
		lines = append(lines, fmt.Sprintf("  %-10s %s", v.name, v.about))
	}
	return strings.Join(lines, "\n")
}

const (
	// callers are the goroutines of each sender.
	callers = 16
	// roundTime is about how long a round takes.
	roundTime = 1500 * time.Millisecond
)

// load is spread over the time that the rounds take, so that there is trouble for as long as there is load.
func (p *plan) load() load {
	senders := max(1, p.variant.senders)
	l := load{Callers: callers, Runs: max(1, p.runs/senders/callers), Burst: 20, Many: p.variant.many}
	l.Pause = time.Duration(p.rounds) * roundTime / time.Duration(l.Runs)
	if l.Many {
		l.Pause, l.Burst = l.Pause*maxMany/2, 1
	}
	return l
}

// run does all that is to be done, and prints what it came to.
func (p *plan) run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "netchaos")
	if err != nil {
		return err
	}
	net, err := newNetwork(ctx, p.names, p.variant.quality, p.seed)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer net.close()
	var hosts []string
	for _, m := range net.machines {
		hosts = append(hosts, m.address)
	}
	if err := remote.WriteCertificates(filepath.Join(dir, "tls"), hosts...); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s: %d runs, %d rounds, seed %d\n", p.variant.name, p.runs, p.rounds, p.seed)
	began := time.Now()
	s := newSession(p, net, dir)
	hide := s.show(ctx, out)
	failure := s.run(ctx)
	hide()
	if failure != nil && ctx.Err() != nil {
		return failure
	}
	if s.history.Recorded, err = p.recorded(ctx, dir); err != nil {
		return errors.Join(failure, err)
	}
	_, _ = fmt.Fprintf(out, "\n%s: %d rounds in %s\n", p.variant.name, s.history.Rounds, time.Since(began).Round(time.Second))
	if err := s.verdict(out, failure); err != nil {
		_, _ = fmt.Fprintf(out, "\nEverything is left in %s. To choose the same again: -variant %s -runs %d -rounds %d -seed %d\n", dir, p.variant.name, p.runs, p.rounds, p.seed)
		return err
	}
	_, _ = fmt.Fprintln(out, "No promise was broken.")
	return os.RemoveAll(dir)
}

// verdict judges and prints.
func (s *session) verdict(out io.Writer, failure error) error {
	sorted, found := judge(&s.history)
	tally(out, &s.history, sorted)
	if s.net.wire != nil {
		s.net.wire.print(out)
	}
	if failure != nil {
		found = append(found, violation{"all is worked off", failure.Error(), nil})
	}
	if len(found) == 0 {
		return nil
	}
	accuse(out, &s.history, found)
	for i, slot := range s.slots {
		if slot != nil {
			_, _ = fmt.Fprintf(out, "-- what %s printed last: %s\n", s.net.machines[i].name, slot.process.LastWords())
		}
	}
	return errBroken
}

// recorded reads the databases.
func (p *plan) recorded(ctx context.Context, dir string) (all []recorded, err error) {
	for i, role := range p.roles {
		if role != receiving {
			continue
		}
		db, err := sqlite.Open(ctx, databaseOf(dir, p.names[i]), sqlite.Config{})
		if err != nil {
			return nil, err
		}
		var r recorded
		r.Log, r.Tasks, err = harness.ReadAll(ctx, db)
		if err = errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// showEvery is how often the progress is shown.
const showEvery = 10 * time.Second

// show shows how far it has come, until hide.
func (s *session) show(ctx context.Context, out io.Writer) (hide func()) {
	ctx, cancel := context.WithCancel(ctx)
	var showing sync.WaitGroup
	showing.Go(func() {
		for harness.Pause(ctx, showEvery) {
			s.mu.Lock()
			c, rounds, troubles := s.count, s.history.Rounds, len(s.history.Troubles)
			s.mu.Unlock()
			_, _ = fmt.Fprintf(out, "round %d: %d troubles, %d runs accepted, %d outcomes told\n", rounds, troubles, c.accepted, c.told)
		}
	})
	return func() { cancel(); showing.Wait() }
}
