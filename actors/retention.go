package actors

import (
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Retention says for how long recorded tasks are kept after their end. They are deleted within PruneInterval after that.
type Retention struct {
	Completed time.Duration // zero is DefaultRetentionCompleted
	Cancelled time.Duration // zero is DefaultRetentionCancelled
	Discarded time.Duration // zero is DefaultRetentionDiscarded
}

// Defaults of Retention, and what keeps tasks for ever.
const (
	DefaultRetentionCompleted = 24 * time.Hour
	DefaultRetentionCancelled = 24 * time.Hour
	DefaultRetentionDiscarded = 7 * 24 * time.Hour

	KeepForever time.Duration = -1
)

func (r Retention) withDefaults() Retention {
	setDefault(&r.Completed, DefaultRetentionCompleted)
	setDefault(&r.Cancelled, DefaultRetentionCancelled)
	setDefault(&r.Discarded, DefaultRetentionDiscarded)
	return r
}

func (r Retention) validate() error {
	for _, kept := range []struct {
		name string
		time time.Duration
	}{{"Completed", r.Completed}, {"Cancelled", r.Cancelled}, {"Discarded", r.Discarded}} {
		if kept.time < 0 && kept.time != KeepForever {
			return fmt.Errorf("actors: TaskRunnerConfig: Retention.%s is %s, want a positive duration or KeepForever", kept.name, kept.time)
		}
	}
	return nil
}

// expiry is what may be deleted now.
func (r Retention) expiry(runner string, now time.Time) store.Expiry {
	before := func(kept time.Duration) time.Time {
		if kept == KeepForever {
			return time.Time{}
		}
		return now.Add(-kept)
	}
	return store.Expiry{Runner: runner, Completed: before(r.Completed), Cancelled: before(r.Cancelled), Discarded: before(r.Discarded)}
}
