package store

import (
	"fmt"
	"time"
)

// bar is something that is promised of us. One for which nothing was measured is passed over.
type bar struct {
	promise string
	got     func(r *run) (float64, bool)
	met     func(got float64) bool
	show    func(got float64) string
}

func bars() []bar {
	append1, run1 := "append and fsync of a file", "Run on SQLite"
	insert1, runPG := "INSERT of a row through pgx", "Run on PostgreSQL"
	handOff := "from Run on a full replica to the start on another"
	return []bar{
		{"on SQLite at least 100,000 tasks/s", rate(onSQLite, best), atLeast(100_000), perSecond},
		{"on SQLite at least 25 times River on SQLite, both at their best", ratio(onSQLite, best, "River"), atLeast(25), factor},
		{"on PostgreSQL at least 3 times River, both at their best", ratio(onPostgres, best, "River"), atLeast(3), factor},
		{"on PostgreSQL at least 10 times River, both one by one", ratio(onPostgres, oneByOne, "River"), atLeast(10), factor},
		{"Run on SQLite at most 2 times an append and fsync", against(run1, append1), atMost(2), factor},
		{"Run on PostgreSQL at most 1.3 times a bare INSERT", against(runPG, insert1), atMost(1.3), factor},
		{"from one replica to another at most 5 ms at the median", waited(handOff, 0.5), atMost(float64(5 * time.Millisecond)), duration},
		{"from one replica to another at most 25 ms at the 99th percentile", waited(handOff, 0.99), atMost(float64(25 * time.Millisecond)), duration},
	}
}

func atLeast(want float64) func(float64) bool { return func(got float64) bool { return got >= want } }
func atMost(want float64) func(float64) bool  { return func(got float64) bool { return got <= want } }

func perSecond(got float64) string { return thousands(got) + " tasks/s" }
func factor(got float64) string    { return times2(got) }
func duration(got float64) string  { return time.Duration(got).Round(10 * time.Microsecond).String() }

// times2 writes a ratio with about two digits: 0.83, 3.1, 27.
func times2(ratio float64) string {
	switch {
	case ratio >= 10:
		return fmt.Sprintf("%.0f×", ratio)
	case ratio >= 1:
		return fmt.Sprintf("%.1f×", ratio)
	default:
		return fmt.Sprintf("%.2f×", ratio)
	}
}

// rate is our median on this engine.
func rate(e engine, w way) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		for _, c := range r.contenders {
			if c.ours && c.engine == e && c.way == w {
				return percentile(r.rates[c.title()], 0.5), true
			}
		}
		return 0, false
	}
}

// ratio is how often our median is that of another on the same engine, used in the same way.
func ratio(e engine, w way, other string) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		our, ok := rate(e, w)(r)
		their := r.rates[contender{name: other, engine: e, way: w}.title()]
		if !ok || len(their) == 0 {
			return 0, false
		}
		return our / percentile(their, 0.5), true
	}
}

// against is how often one median is the other.
func against(title, yardstick string) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		took, of := r.waits[title], r.waits[yardstick]
		if len(took) == 0 || len(of) == 0 {
			return 0, false
		}
		return float64(percentile(took, 0.5)) / float64(percentile(of, 0.5)), true
	}
}

func waited(title string, share float64) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		took := r.waits[title]
		if len(took) == 0 {
			return 0, false
		}
		return float64(percentile(took, share)), true
	}
}
