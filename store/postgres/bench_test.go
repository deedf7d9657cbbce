package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// cpu measures the processor's time of this process and of the server, which has one for each connection.
type cpu struct {
	postmaster     string
	client, server time.Duration
}

func startCPU(b *testing.B) *cpu {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), server.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	var file string
	if err := conn.QueryRow(b.Context(), `SELECT pg_read_file('postmaster.pid')`).Scan(&file); err != nil {
		b.Fatal(err)
	}
	pid, _, _ := strings.Cut(file, "\n")
	c := &cpu{postmaster: pid}
	c.client, c.server = c.now()
	return c
}

func (c *cpu) now() (client, server time.Duration) {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(after)
		switch parent, pid := fields[1], filepath.Base(filepath.Dir(path)); c.postmaster {
		case parent:
			server += ticks(fields[11:13])
		case pid:
			server += ticks(fields[11:15]) // and those of its children that have ended
		}
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), server
}

func ticks(fields []string) (sum time.Duration) {
	for _, field := range fields {
		n, _ := strconv.Atoi(field)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

func (c *cpu) report(b *testing.B, tasks int) {
	client, server := c.now()
	b.ReportMetric(float64((client-c.client).Nanoseconds())/float64(tasks)/1000, "client-µs/task")
	b.ReportMetric(float64((server-c.server).Nanoseconds())/float64(tasks)/1000, "server-µs/task")
	b.ReportMetric(float64(tasks)/b.Elapsed().Seconds(), "tasks/s")
	b.ReportMetric(0, "ns/op")
}

var benchArgs = []byte(strings.Repeat("0123456789", 10))

func benchTask() store.NewTask {
	return store.NewTask{
		ID: uuid.Must(uuid.NewV7()).String(), Runner: "assets", Kind: "asset.move", Args: benchArgs, MaxAttempts: 25, Timeout: time.Minute,
		Node: "node-0123456789", Fresh: true,
	}
}

// life inserts n tasks as running and records that they have completed.
func life(ctx context.Context, s *postgres.Store, n int) error {
	tasks := make([]store.NewTask, n)
	for i := range tasks {
		tasks[i] = benchTask()
	}
	inserted, err := s.Insert(ctx, time.Now(), tasks)
	if err != nil {
		return err
	}
	outcomes := make([]store.Outcome, n)
	for i := range inserted {
		outcomes[i] = store.Outcome{TaskID: inserted[i].ID, Run: 1, To: store.Completed, Result: []byte(`{"ok":true}`), FinishedAt: time.Now()}
	}
	answers, err := s.Finish(ctx, outcomes)
	for _, answer := range answers {
		if answer != nil {
			return answer
		}
	}
	return err
}

// BenchmarkLife is a task from its insertion to its outcome, in batches of this size by so many callers.
func BenchmarkLife(b *testing.B) {
	for _, c := range []struct{ callers, batch int }{{1, 1000}, {2, 1000}, {16, 16}, {16, 1}, {1, 1}} {
		b.Run(fmt.Sprintf("callers=%d/batch=%d", c.callers, c.batch), func(b *testing.B) {
			s := open(b, server.NewDatabase(b), postgres.Config{})
			if err := life(b.Context(), s, 1); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			used := startCPU(b)
			var wg sync.WaitGroup
			for range c.callers {
				wg.Go(func() {
					for range b.N {
						if err := life(b.Context(), s, c.batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			used.report(b, b.N*c.callers*c.batch)
		})
	}
}

// BenchmarkAccept is one caller's Insert of one task against a bare INSERT of one row, in turns.
func BenchmarkAccept(b *testing.B) {
	url := server.NewDatabase(b)
	s := open(b, url, postgres.Config{})
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	if _, err := conn.Exec(b.Context(), `CREATE TABLE bare (id uuid PRIMARY KEY, kind text NOT NULL, args bytea NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	var ours, bare []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := s.Insert(b.Context(), start, []store.NewTask{benchTask()}); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
		id := uuid.Must(uuid.NewV7())
		start = time.Now()
		if _, err := conn.Exec(b.Context(), `INSERT INTO bare VALUES ($1, $2, $3)`, id, "asset.move", benchArgs); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(start))
	}
	b.ReportMetric(median(ours).Seconds()*1e6, "µs-ours")
	b.ReportMetric(median(bare).Seconds()*1e6, "µs-bare")
	b.ReportMetric(float64(median(ours))/float64(median(bare)), "ours/bare")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

var rows = flag.Int("rows", 100_000, "how many outcomes BenchmarkFlat stores before it measures the second time")

// BenchmarkFlat measures a batch when 10 thousand outcomes are stored, and when many more are.
func BenchmarkFlat(b *testing.B) {
	s := open(b, server.NewDatabase(b), postgres.Config{})
	stored := 0
	fill := func(n int) {
		for ; stored < n; stored += 1000 {
			if err := life(b.Context(), s, 1000); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, n := range []int{10_000, *rows} {
		fill(n)
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			used := startCPU(b)
			for range b.N {
				if err := life(b.Context(), s, 1000); err != nil {
					b.Fatal(err)
				}
			}
			used.report(b, b.N*1000)
		})
	}
}

// BenchmarkBare is what a row of its own costs through pgx, for comparison.
func BenchmarkBare(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			url := server.NewDatabase(b)
			execute(b, url, `CREATE TABLE bare (id uuid PRIMARY KEY, kind text NOT NULL, args bytea NOT NULL)`)
			pool := newPool(b, withSetting(url, "pool_max_conns", "16"))
			b.ResetTimer()
			used := startCPU(b)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range b.N {
						if _, err := pool.Exec(b.Context(), `INSERT INTO bare VALUES ($1, $2, $3)`, uuid.Must(uuid.NewV7()), "asset.move", benchArgs); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			used.report(b, b.N*callers)
		})
	}
}

// BenchmarkRun has callers insert one by one, and one goroutine record the outcomes of what has ended meanwhile, as a runner does.
func BenchmarkRun(b *testing.B) {
	const callers = 16
	s := open(b, server.NewDatabase(b), postgres.Config{})
	if err := life(b.Context(), s, 1); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	used := startCPU(b)
	ended := make(chan store.Outcome, 10_000)
	var inserting, finishing sync.WaitGroup
	for range callers {
		inserting.Go(func() {
			for range b.N {
				n := benchTask()
				if _, err := s.Insert(b.Context(), time.Now(), []store.NewTask{n}); err != nil {
					b.Error(err)
					return
				}
				ended <- store.Outcome{TaskID: n.ID, Run: 1, To: store.Completed, Result: []byte(`{"ok":true}`), FinishedAt: time.Now()}
			}
		})
	}
	finishing.Go(func() {
		for o := range ended {
			outcomes := []store.Outcome{o}
			for len(ended) > 0 && len(outcomes) < 1000 {
				outcomes = append(outcomes, <-ended)
			}
			if _, err := s.Finish(b.Context(), outcomes); err != nil {
				b.Error(err)
			}
		}
	})
	inserting.Wait()
	close(ended)
	finishing.Wait()
	used.report(b, b.N*callers)
}
