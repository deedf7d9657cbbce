package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// trouble is one thing that is done to a machine, and undone after some time.
type trouble struct {
	Kind    string
	Machine int
	From    time.Duration // not before
	To      time.Duration // when it was undone
}

// Kinds of trouble besides the cuts: of the process of the machine.
const (
	killed  = "killed"
	stopped = "stopped in order"
	paused  = "paused"
)

// ofProcess reports whether it is done to the process and not to the network.
func ofProcess(kind string) bool { return kind == killed || kind == stopped || kind == paused }

// evil is a kind of trouble as it is drawn.
type evil struct {
	kind    string
	share   int // how often, as compared with the others
	longest time.Duration
}

// evils gives all kinds. Now and then one of them takes much longer, see longTrouble.
func evils() []evil {
	return []evil{
		{killed, 6, 500 * time.Millisecond}, {stopped, 1, 500 * time.Millisecond}, {paused, 2, 2 * time.Second},
		{cutDown, 2, 2 * time.Second}, {cutBoth, 3, 2 * time.Second}, {cutIn, 2, 2 * time.Second}, {cutOut, 2, 2 * time.Second},
		{cutReset, 2, time.Second},
	}
}

const (
	// longTrouble is the longest: both ends notice a silence of some 13 seconds, and a call is given up after away.
	longTrouble = 20 * time.Second
	// longShare is that of one in so many troubles.
	longShare = 15
)

// drawTrouble draws what is done to one of so many machines, and for how long.
func drawTrouble(rng *rand.Rand, machines int) (t trouble, takes time.Duration) {
	all, shares := evils(), 0
	for _, e := range all {
		shares += e.share
	}
	n := rng.IntN(shares)
	i := slices.IndexFunc(all, func(e evil) bool { n -= e.share; return n < 0 })
	takes = time.Duration(rng.Int64N(int64(all[i].longest)))
	if rng.IntN(longShare) == 0 {
		takes = time.Duration(rng.Int64N(int64(longTrouble)))
	}
	return trouble{Kind: all[i].kind, Machine: rng.IntN(machines)}, takes
}

// drawRound draws the troubles of a round, which begin together: one or two, of the same machine only if one is of its
// process and one of its network.
func drawRound(rng *rand.Rand, machines int) (troubles []trouble, takes []time.Duration) {
	for range 1 + rng.IntN(2) {
		t, d := drawTrouble(rng, machines)
		if !slices.ContainsFunc(troubles, func(o trouble) bool { return o.Machine == t.Machine && ofProcess(o.Kind) == ofProcess(t.Kind) }) {
			troubles, takes = append(troubles, t), append(takes, d)
		}
	}
	return troubles, takes
}

// begin makes the trouble.
func (s *session) begin(ctx context.Context, t *trouble) error {
	s.mu.Lock()
	slot := s.slots[t.Machine]
	s.mu.Unlock()
	t.From = monotonic()
	switch t.Kind {
	case killed:
		slot.end(syscall.SIGKILL)
	case stopped:
		slot.end(syscall.SIGTERM)
	case paused:
		return slot.process.Freeze()
	default:
		return s.net.machines[t.Machine].cut(ctx, t.Kind)
	}
	return nil
}

// undo ends the trouble, and notes it.
func (s *session) undo(ctx context.Context, t trouble) (err error) {
	switch {
	case t.Kind == paused:
		s.mu.Lock()
		process := s.slots[t.Machine].process
		s.mu.Unlock()
		err = process.Thaw()
	case ofProcess(t.Kind):
		err = s.start(t.Machine)
	default:
		err = s.net.machines[t.Machine].heal(ctx, t.Kind)
	}
	t.To = monotonic()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Troubles = append(s.history.Troubles, t)
	return err
}
