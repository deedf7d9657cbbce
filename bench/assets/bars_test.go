package assets

import (
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// maxMemory is how much memory ours may need, in MiB.
const maxMemory = 90

// bar is something that is promised of us. One for which nothing was measured is passed over.
type bar struct {
	promise string
	got     func(r *run) (float64, bool)
	kept    func(got float64) bool
	show    func(got float64) string
}

// bars has two for each way in which we are used.
func bars() (all []bar) {
	for _, c := range contenders() {
		if !c.ours {
			continue
		}
		all = append(all,
			bar{fmt.Sprintf("to %s with %d transfers no longer than rclone copy", c.to, c.transfers), overRclone(c), atMost(1), figures.Times},
			bar{fmt.Sprintf("to %s with %d transfers at most %d MiB of memory", c.to, c.transfers, maxMemory), memory(c), atMost(maxMemory), mebibytes})
	}
	return all
}

func atMost(want float64) func(float64) bool { return func(got float64) bool { return got <= want } }

func mebibytes(got float64) string { return fmt.Sprintf("%.0f MiB", got) }

// overRclone is how many times as long ours takes as rclone with the same checks and the same transfers.
func overRclone(c contender) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		our, ok := r.took(c)
		their, also := r.took(contender{name: checkingName, to: c.to, transfers: c.transfers})
		if !ok || !also {
			return 0, false
		}
		return our.Seconds() / their.Seconds(), true
	}
}

// memory is the most that the client had in any round.
func memory(c contender) func(*run) (float64, bool) {
	return func(r *run) (float64, bool) {
		peaks := r.each(c, func(one result) float64 { return one.memory })
		if len(peaks) == 0 {
			return 0, false
		}
		return figures.Percentile(peaks, 1), true
	}
}

// took is the median of how long a client took.
func (r *run) took(c contender) (time.Duration, bool) {
	var all []time.Duration
	for _, one := range r.results[c.title()] {
		all = append(all, one.took)
	}
	if len(all) == 0 {
		return 0, false
	}
	return figures.Percentile(all, 0.5), true
}

// each gives one figure of each round.
func (r *run) each(c contender, of func(result) float64) (all []float64) {
	for _, one := range r.results[c.title()] {
		all = append(all, of(one))
	}
	return all
}
