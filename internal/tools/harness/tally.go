package harness

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Tally is what was counted, in the order in which it was first. It is not safe for several goroutines.
type Tally struct{ rows []row }

type row struct {
	name  string
	count int
}

// Add counts. A name that begins with spaces stands below the one before.
func (t *Tally) Add(name string, n int) {
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		t.rows = append(t.rows, row{name: name})
		i = len(t.rows) - 1
	}
	t.rows[i].count += n
}

// AddAll counts what another has counted.
func (t *Tally) AddAll(other *Tally) {
	for _, r := range other.rows {
		t.Add(r.name, r.count)
	}
}

// Print shows what is not zero.
func (t *Tally) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range t.rows {
		if r.count > 0 {
			_, _ = fmt.Fprintf(w, "%d\t  %s\n", r.count, r.name)
		}
	}
	_ = w.Flush()
}

// PrintTimes shows how many times there are, the middle one, the one that 99 of 100 do not exceed, and the longest. It sorts them.
func PrintTimes(out io.Writer, name string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	_, _ = fmt.Fprintf(out, "%s: %d times, p50 %s, p99 %s, max %s\n", name, len(times),
		round(quantile(times, 0.5)), round(quantile(times, 0.99)), round(times[len(times)-1]))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// quantile of sorted times: the smallest that is not below such a share of them.
func quantile(times []time.Duration, share float64) time.Duration {
	i := int(share*float64(len(times)) + 0.999999)
	return times[min(max(i-1, 0), len(times)-1)]
}
