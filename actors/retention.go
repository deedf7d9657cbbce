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

	// Subscribers is for how long tasks are kept beyond that for a subscriber who has not acknowledged their outcomes, since it was seen
	// last; see Subscribe. Zero is DefaultRetentionSubscribers. It is at least MinRetentionSubscribers, since who reads is seen only each
	// minute. Whoever has subscribed and does not come back costs as much room as the outcomes of that time take: with KeepForever, of
	// all time until Unsubscribe.
	Subscribers time.Duration
}

// Defaults of Retention, and what keeps tasks for ever.
const (
	DefaultRetentionCompleted = 24 * time.Hour
	DefaultRetentionCancelled = 24 * time.Hour
	DefaultRetentionDiscarded = 7 * 24 * time.Hour

	DefaultRetentionSubscribers = 7 * 24 * time.Hour
	MinRetentionSubscribers     = 5 * time.Minute

	KeepForever time.Duration = -1
)

func (r Retention) withDefaults() Retention {
	setDefault(&r.Completed, DefaultRetentionCompleted)
	setDefault(&r.Cancelled, DefaultRetentionCancelled)
	setDefault(&r.Discarded, DefaultRetentionDiscarded)
	setDefault(&r.Subscribers, DefaultRetentionSubscribers)
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
	if r.Subscribers < MinRetentionSubscribers && r.Subscribers != KeepForever {
		return fmt.Errorf("actors: TaskRunnerConfig: Retention.Subscribers is %s, want at least %s or KeepForever", r.Subscribers, MinRetentionSubscribers)
	}
	return nil
}

// keepsAll reports whether nothing is ever deleted.
func (r Retention) keepsAll() bool {
	return r.Completed == KeepForever && r.Cancelled == KeepForever && r.Discarded == KeepForever
}

// expiry is what may be deleted now.
func (r Retention) expiry(runner string, now time.Time) store.Expiry {
	before := func(kept time.Duration) time.Time {
		if kept == KeepForever {
			return time.Time{}
		}
		return now.Add(-kept)
	}
	return store.Expiry{
		Runner: runner, Completed: before(r.Completed), Cancelled: before(r.Cancelled), Discarded: before(r.Discarded),
		Subscribers: before(r.Subscribers),
	}
}
