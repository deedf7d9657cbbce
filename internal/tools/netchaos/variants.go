package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// variant is a kind of network with a way to make trouble.
type variant struct {
	name      string
	about     string
	quality   *quality // of the wire; nil: a bridge
	many      bool     // senders ask by RunMany
	receivers int
	senders   int
	watchers  int
	// round makes trouble once. Everything is in order when it returns.
	round func(context.Context, *session) error
}

// variants gives all of them, the default first.
func variants() []*variant {
	return []*variant{
		{name: "all", about: "processes are killed, stopped and paused, and the network is cut in all ways", receivers: 2, senders: 2, round: randomRound},
		{name: "many", about: "the same, and senders ask for many runs in one call", many: true, receivers: 2, senders: 2, round: randomRound},
		{name: "rough", about: "the same, over a wire that delays, loses, doubles and reorders packets", quality: rough(), receivers: 2, senders: 2, round: randomRound},
		{name: "monitors", about: "all kinds of trouble at the same time: when are those told who monitor?", receivers: len(evils()), watchers: 1, round: monitorRound},
	}
}

func findVariant(name string) *variant {
	for _, v := range variants() {
		if v.name == name {
			return v
		}
	}
	return nil
}

// roles says what runs on which machine, and gives the names of the machines.
func (v *variant) roles() (roles, names []string) {
	for _, one := range []struct {
		role  string
		count int
	}{{receiving, v.receivers}, {sending, v.senders}, {watching, v.watchers}} {
		for i := range one.count {
			roles, names = append(roles, one.role), append(names, fmt.Sprintf("%s-%d", one.role, i))
		}
	}
	return roles, names
}

// monitorRound waits until all receivers are monitored, gives each a trouble of its own, and waits until all monitors have told. The times
// at which they begin are spread over a second, as a silence is noticed at intervals.
func monitorRound(ctx context.Context, s *session) error {
	if err := s.await(ctx, "all monitors to be in place", time.Minute, func() bool { return s.monitors(0) }); err != nil {
		return err
	}
	all := evils()
	errs := make([]error, len(all))
	var working sync.WaitGroup
	for i, e := range all {
		t := trouble{Kind: e.kind, Machine: s.history.Receivers[i]}
		wait := time.Duration(s.rng.Int64N(int64(time.Second)))
		working.Go(func() {
			harness.Pause(ctx, wait)
			if errs[i] = s.begin(ctx, &t); errs[i] != nil {
				return
			}
			// That nobody was told in time is for the judge.
			_ = s.await(ctx, "the monitors to tell", atLatest+5*time.Second, func() bool { return s.downs[i] == 2 })
			errs[i] = s.undo(context.WithoutCancel(ctx), t)
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// monitors reports whether all receivers are monitored, and so many of their monitors have told. It is called with the lock.
func (s *session) monitors(told int) bool {
	for i := range s.history.Receivers {
		if s.watched[i] == 0 || s.downs[i] != told {
			return false
		}
	}
	return true
}
