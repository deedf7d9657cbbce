package store

import (
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// bar is something that is promised of us. One for which nothing was measured is passed over.
type bar struct {
	promise string
	got     func(r *run) (float64, bool)
	met     func(got float64) bool
	show    func(got float64) string
}

func bars() []bar {
	return []bar{
		{"on SQLite at least 100,000 tasks/s", rate(onSQLite, best), atLeast(100_000), perSecond},
		{"on SQLite at least 25 times River on SQLite, both at their best", overRiver(onSQLite, best), atLeast(25), figures.Times},
		{"on PostgreSQL at least 3 times River, both at their best", overRiver(onPostgres, best), atLeast(3), figures.Times},
		{"on PostgreSQL at least 10 times River, both one by one", overRiver(onPostgres, oneByOne), atLeast(10), figures.Times},
		{"Run on SQLite at most 2 times an append and fsync", against(runOnSQLite, appendTitle), atMost(2), figures.Times},
		{"Run on PostgreSQL at most 1.3 times a bare INSERT", against(runOnPostgres, insertTitle), atMost(1.3), figures.Times},
		{"from one replica to another at most 5 ms at the median", waited(handOffOnReplica, 0.5), atMost(float64(5 * time.Millisecond)), duration},
		{"from one replica to another at most 25 ms at the 99th percentile", waited(handOffOnReplica, 0.99), atMost(float64(25 * time.Millisecond)), duration},
	}
}

func atLeast(want float64) func(float64) bool { return func(got float64) bool { return got >= want } }
func atMost(want float64) func(float64) bool  { return func(got float64) bool { return got <= want } }

func perSecond(got float64) string { return figures.Thousands(got) + " tasks/s" }
func duration(got float64) string  { return time.Duration(got).Round(time.Microsecond).String() }

// rate is our median on this engine.
func rate(e engine, w way) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		for _, c := range r.contenders {
			if c.ours && c.engine == e && c.way == w {
				return figures.Percentile(r.rates[c.title()], 0.5), true
			}
		}
		return 0, false
	}
}

// overRiver is how often our median is River's on the same engine, used in the same way.
func overRiver(e engine, w way) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		our, ok := rate(e, w)(r)
		their := r.rates[contender{name: "River", engine: e, way: w}.title()]
		if !ok || len(their) == 0 {
			return 0, false
		}
		return our / figures.Percentile(their, 0.5), true
	}
}

// against is how often one median is the other.
func against(title, yardstick string) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		took, of := r.waits[title], r.waits[yardstick]
		if len(took) == 0 || len(of) == 0 {
			return 0, false
		}
		return float64(figures.Percentile(took, 0.5)) / float64(figures.Percentile(of, 0.5)), true
	}
}

func waited(title string, share float64) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		took := r.waits[title]
		if len(took) == 0 {
			return 0, false
		}
		return float64(figures.Percentile(took, share)), true
	}
}
