package store

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// report is the tables in Markdown.
func (r *run) report(ctx context.Context) (string, error) {
	var text strings.Builder
	about, err := r.about(ctx)
	if err != nil {
		return "", err
	}
	text.WriteString(about + "\n")
	r.writeRates(&text)
	r.writeSetups(&text)
	r.writeWaits(&text)
	r.writeBars(&text)
	return text.String(), nil
}

// about says where, when and with what the run was made.
func (r *run) about(ctx context.Context) (string, error) {
	modules, err := versions(ctx, "github.com/riverqueue/river", "github.com/riverqueue/river/riverdriver/riverpgxv5",
		"github.com/riverqueue/river/riverdriver/riversqlite", "maragu.dev/goqite", "github.com/mikestefanello/backlite",
		"github.com/hibiken/asynq", "github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/mattn/go-sqlite3")
	if err != nil {
		return "", err
	}
	servers, err := r.site.versions(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Measured on %s with %s on %d cores (%s): the medians of %d rounds. %s. %s.\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), figures.Processor(), *rounds, servers, modules), nil
}

func versions(ctx context.Context, modules ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", append([]string{"list", "-m"}, modules...)...).Output()
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", "), err
}

// versions asks the servers who they are, and how they sync.
func (s *site) versions(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var postgres string
	err = conn.QueryRow(ctx, `SELECT format('PostgreSQL %s (fsync %s, synchronous_commit %s, full_page_writes %s',
		split_part(current_setting('server_version'), ' ', 1), current_setting('fsync'), current_setting('synchronous_commit'),
		current_setting('full_page_writes'))`).Scan(&postgres)
	if err != nil {
		return "", err
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.redis})
	defer func() { _ = client.Close() }()
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	sync, err := client.ConfigGet(ctx, "appendfsync").Result()
	return fmt.Sprintf("%s, %s), Redis %s (appendfsync %s)", postgres, strings.Join(postgresSettings(), ", "),
		info["Server"]["redis_version"], sync["appendfsync"]), err
}

// writeRates writes a row for each contender. The last columns say how many times as fast ours is, used in the same way.
func (r *run) writeRates(text *strings.Builder) {
	engines := r.ourEngines()
	fmt.Fprint(text, "| queue | on | used | callers | tasks in a call | bytes of arguments | tasks | finished rows, before and after | tasks/s | slowest to fastest round |")
	for _, e := range engines {
		fmt.Fprintf(text, " ours on %s |", e)
	}
	fmt.Fprintf(text, "\n|---|---|---|%s\n", strings.Repeat("---:|", 7+len(engines)))
	for _, c := range contenders() {
		rates := r.rates[c.title()]
		fmt.Fprintf(text, "| %s | %s | %s: %s | %d | %s | %d | %s | 0, %s | **%s** | %s to %s |", c.name, c.engine, c.way, c.call,
			c.load.callers, figures.Thousands(float64(c.load.batch)), argsBytes, figures.Thousands(float64(c.load.tasks)), figures.Thousands(float64(r.kept[c.title()])),
			figures.Thousands(figures.Percentile(rates, 0.5)), figures.Thousands(figures.Percentile(rates, 0)), figures.Thousands(figures.Percentile(rates, 1)))
		for _, e := range engines {
			fmt.Fprintf(text, " %s |", r.against(c, e))
		}
		text.WriteString("\n")
	}
	text.WriteString("\n")
}

// ourEngines are those on which we are measured, each once.
func (r *run) ourEngines() (engines []engine) {
	for _, e := range []engine{onSQLite, onPostgres} {
		if _, ok := rate(e, best)(r); ok {
			engines = append(engines, e)
		}
	}
	return engines
}

// against is how many times as fast ours on that engine is as the contender.
func (r *run) against(c contender, e engine) string {
	our, ok := rate(e, c.way)(r)
	if !ok || c.ours {
		return ""
	}
	return figures.Times(our / figures.Percentile(r.rates[c.title()], 0.5))
}

func (r *run) writeSetups(text *strings.Builder) {
	text.WriteString("How each is set up:\n\n")
	for _, c := range contenders() {
		fmt.Fprintf(text, "- %s: %s\n", c.title(), c.setup)
	}
	text.WriteString("\n")
}

func (r *run) writeWaits(text *strings.Builder) {
	text.WriteString("One call at a time:\n\n| what | load | calls | median | 99th percentile | of its yardstick |\n|---|---|---:|---:|---:|---:|\n")
	for _, l := range latencies() {
		took, of := r.waits[l.title], ""
		if ratio, ok := against(l.title, l.yardstick)(r); ok {
			of = figures.Times(ratio)
		}
		fmt.Fprintf(text, "| %s | %s | %s | %s | %s | %s |\n", l.title, l.load, figures.Thousands(float64(len(took))),
			duration(float64(figures.Percentile(took, 0.5))), duration(float64(figures.Percentile(took, 0.99))), of)
	}
	text.WriteString("\n")
}

func (r *run) writeBars(text *strings.Builder) {
	text.WriteString("What is promised:\n\n| promise | measured | |\n|---|---:|---|\n")
	for _, b := range bars() {
		got, ok := b.got(r)
		if !ok {
			continue
		}
		fmt.Fprintf(text, "| %s | %s | %s |\n", b.promise, b.show(got), figures.Verdict(b.met(got)))
	}
}
