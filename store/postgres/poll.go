package postgres

import (
	"context"

	"github.com/taskrunner-go/taskrunner/store"
)

// keepPolling looks for changes of which we were not told, until the store closes. While we do not listen, it looks often.
func (s *Store) keepPolling(ctx context.Context) {
	end := int64(-1) // where the outcomes ended at the last poll
	for {
		every := s.cfg.PollInterval
		if !s.listening.Load() {
			every = min(every, pooledPollInterval)
		}
		if pause(ctx, every); ctx.Err() != nil {
			return
		}
		end = s.poll(ctx, end)
	}
}

// poll looks once, and gives where the outcomes end.
func (s *Store) poll(ctx context.Context, last int64) (end int64) {
	signals := map[string]store.Signal{}
	end = last
	err := s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		clear(signals)
		return l.run(ctx, s.sql.poll.with(s.pollArgs()...).each(func(c *columns) {
			switch what, runner, n := c.int32(), c.text(), c.int64(); what {
			case polledWork:
				signals[runner] |= store.SignalWork
			case polledCancels:
				if s.leases.newCancels(runner, n) {
					signals[runner] |= store.SignalCancels
				}
			case polledEnd:
				end = n
			case polledEnded:
				s.chores.wake()
			}
		}))
	})
	if err != nil {
		return last
	}
	for runner, some := range signals {
		s.holders.Notify(runner, some)
	}
	if end != last {
		s.holders.Notify("", store.SignalOutcomes)
	}
	return end
}

// pollArgs asks for the kinds that the runners claim; for a runner that has claimed nothing yet, for all.
func (s *Store) pollArgs() [][]byte {
	var workRunners, workKinds, anyKind []string
	runners, nodes := s.leases.runners()
	for _, runner := range runners {
		kinds := s.kinds.known(runner)
		if kinds == nil {
			anyKind = append(anyKind, runner)
		}
		for _, kind := range kinds {
			workRunners, workKinds = append(workRunners, runner), append(workKinds, kind)
		}
	}
	return [][]byte{texts(workRunners...), texts(workKinds...), texts(runners...), texts(nodes...), texts(anyKind...)}
}
