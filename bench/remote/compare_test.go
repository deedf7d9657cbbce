package remote

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

var (
	rounds = flag.Int("rounds", 0, "how often each is measured; 0: not at all")
	only   = flag.String("only", "", "a regular expression of those that are measured")
	write  = flag.String("write", "", "the file into which the tables are written")
)

// measureFor is how long each turn is measured, behind warmFor that nobody counts.
const (
	warmFor    = 300 * time.Millisecond
	measureFor = 2 * time.Second
)

// contender is one way to have something done, with so many callers.
type contender struct {
	name    string
	callers int
	server  string // its kind; empty: none
	durable bool
	dial    func(ctx context.Context, address string) (call func(ctx context.Context) error, closed func() error, err error)
}

func (c contender) title() string { return fmt.Sprintf("%s, %d callers", c.name, c.callers) }

const (
	tcpName     = "TCP ping-pong"
	unaryName   = "gRPC unary call"
	oursName    = "remote Run to completion"
	durableName = "remote Run to completion, SQLite"
	localName   = "local Run to completion"
	localDBName = "local Run to completion, SQLite"
)

func contenders() []contender {
	return []contender{
		{name: tcpName, callers: 1, server: "tcp", dial: dialTCP},
		{name: unaryName, callers: 1, server: "echo", dial: dialUnary},
		{name: oursName, callers: 1, server: "ours", dial: dialOurs},
		{name: unaryName, callers: 256, server: "echo", dial: dialUnary},
		{name: oursName, callers: 256, server: "ours", dial: dialOurs},
		{name: localName, callers: 256, dial: dialLocal},
		{name: durableName, callers: 256, server: "ours", durable: true, dial: dialOurs},
		{name: localDBName, callers: 256, durable: true, dial: dialLocal},
	}
}

// result is one turn.
type result struct {
	calls  int
	took   time.Duration
	times  []time.Duration
	client time.Duration // processor time
	server usage
}

func (r result) rate() float64 { return float64(r.calls) / r.took.Seconds() }

// measure lets the callers call, one call after the other.
func (c contender) measure(ctx context.Context, dir string) (r result, err error) {
	path := ""
	if c.durable {
		path = filepath.Join(dir, "tasks.db")
	}
	address := path
	var s *server
	if c.server != "" {
		if s, err = startServer(ctx, c.server, path); err != nil {
			return r, err
		}
		address = s.address
	}
	call, closed, err := c.dial(ctx, address)
	if err != nil {
		return r, err
	}
	if _, err := callFor(ctx, c.callers, warmFor, call); err != nil {
		return r, err
	}
	before := ownCPU()
	if r, err = callFor(ctx, c.callers, measureFor, call); err != nil {
		return r, err
	}
	r.client = ownCPU() - before
	if err := closed(); err != nil {
		return r, err
	}
	if s != nil {
		r.server, err = s.stop()
	}
	return r, err
}

// callFor calls for so long.
func callFor(ctx context.Context, callers int, d time.Duration, call func(ctx context.Context) error) (r result, err error) {
	var mu sync.Mutex
	var under sync.WaitGroup
	began := time.Now()
	for range callers {
		under.Go(func() {
			var times []time.Duration
			var failed error
			for last := time.Now(); failed == nil && last.Sub(began) < d; {
				failed = call(ctx)
				now := time.Now()
				times = append(times, now.Sub(last))
				last = now
			}
			mu.Lock()
			defer mu.Unlock()
			r.times = append(r.times, times...)
			if failed != nil {
				err = failed
			}
		})
	}
	under.Wait()
	r.took, r.calls = time.Since(began), len(r.times)
	return r, err
}

func TestCompare(t *testing.T) {
	if *rounds <= 0 {
		t.Skip("run by make bench-remote")
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	if *write != "" && *only != "" {
		t.Fatal("-write is for a whole run, not for -only")
	}
	r := &run{
		contenders: slices.DeleteFunc(contenders(), func(c contender) bool { return !chosen.MatchString(c.title()) }),
		results:    map[string][]result{},
	}
	turns := slices.Clone(r.contenders)
	for round := range *rounds {
		for _, c := range turns {
			r.turn(t, round, c)
		}
		slices.Reverse(turns)
	}
	r.finish(t)
}

// turn has what those before have written brought to the disk first, so that it is no burden of this one.
func (r *run) turn(t *testing.T, round int, c contender) {
	syscall.Sync()
	one, err := c.measure(t.Context(), t.TempDir())
	if err != nil {
		t.Fatalf("%s: %v", c.title(), err)
	}
	r.results[c.title()] = append(r.results[c.title()], one)
	t.Logf("round %d: %-45s %9s calls/s, median %s, client %.1f and server %.1f µs of the processor for each", round+1, c.title(),
		figures.Thousands(one.rate()), figures.Percentile(one.times, 0.5).Round(time.Microsecond),
		perCall(one.client, one.calls), perCall(one.server.cpu, one.calls))
}

func perCall(d time.Duration, calls int) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(max(1, calls))
}
