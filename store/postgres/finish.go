package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Finish implements store.Worker. While the server is away, the outcomes are kept in the spool, if there is one and it has room:
// then they are recorded, by this process or the next one that has the spool, whatever this call answers.
func (s *Store) Finish(ctx context.Context, outcomes []store.Outcome) ([]error, error) {
	answers := make([]error, len(outcomes))
	for i := range outcomes {
		answers[i] = outcomes[i].Validate()
	}
	// They are copied, because a call that is given up may still be under way when the caller uses its slices again.
	outcomes = slices.Clone(outcomes)
	for i := range outcomes {
		outcomes[i].Result = bytes.Clone(outcomes[i].Result)
	}
	err := s.call(ctx, "finishing", func() error { return s.finish(ctx, outcomes, answers) })
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// finish records the outcomes that are not refused yet.
func (s *Store) finish(ctx context.Context, outcomes []store.Outcome, answers []error) error {
	kept := &spooling{spool: s.spool}
	watch := func() <-chan struct{} {
		lost, changed := s.contact.watch()
		if lost {
			kept.keep(outcomes, answers)
		}
		return changed
	}
	err := s.record(ctx, outcomes, answers, watch)
	return kept.end(err)
}

// record has those that are young leave their bundles, and settles the others.
func (s *Store) record(ctx context.Context, outcomes []store.Outcome, answers []error, watch watcher) error {
	var leavers []leaver
	var leaverAt, rest []int
	for i := range outcomes {
		if answers[i] != nil {
			continue
		}
		id := parseID(outcomes[i].TaskID)
		if _, young := s.young.find(id); !young || outcomes[i].Run != 1 {
			rest = append(rest, i)
			continue
		}
		leavers = append(leavers, leaver{id: id, outcome: &outcomes[i]})
		leaverAt = append(leaverAt, i)
	}
	if len(leavers) > 0 {
		if err := s.leaveYoung(ctx, leavers, watch); err != nil {
			return err
		}
	}
	for k, i := range leaverAt {
		if errors.Is(leavers[k].answer, errNotYoung) {
			rest = append(rest, i)
		}
	}
	slices.Sort(rest) // two outcomes of one task are judged in their order
	return s.settleAt(ctx, outcomes, answers, rest, watch)
}

// How long to wait for a task that another transaction has locked, between two attempts.
const (
	firstBusy   = 2 * time.Millisecond
	longestBusy = 100 * time.Millisecond
)

// settleAt settles the outcomes at these places, and answers there.
func (s *Store) settleAt(ctx context.Context, outcomes []store.Outcome, answers []error, at []int, watch watcher) error {
	for wait := firstBusy; len(at) > 0; wait = min(2*wait, longestBusy) {
		items := make([]settler, len(at))
		for k, i := range at {
			items[k] = settler{id: parseID(outcomes[i].TaskID), outcome: &outcomes[i]}
		}
		if err := s.settle(ctx, items, watch); err != nil {
			return err
		}
		var busy []int
		for k, i := range at {
			if answers[i] = items[k].answer; errors.Is(answers[i], errBusy) {
				busy = append(busy, i)
			}
		}
		if at = busy; len(at) > 0 {
			pause(ctx, wait)
		}
	}
	return nil
}
