package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// hearing is what a sender has yet to hear as a subscriber, over all of its lives.
type hearing struct {
	mu       sync.Mutex
	heard    map[string]bool // by id
	awaiting map[string]bool // was accepted, and was not heard of
}

// remember takes it from what the lives before have noted.
func (h *hearing) remember(before []event) {
	h.heard, h.awaiting = map[string]bool{}, map[string]bool{}
	for _, e := range before {
		switch e.What {
		case isAccepted:
			h.expect(e.ID)
		case isHeard:
			h.hear(e.ID)
		}
	}
}

func (h *hearing) expect(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.heard[id] {
		h.awaiting[id] = true
	}
}

func (h *hearing) hear(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[id] = true
	delete(h.awaiting, id)
}

// all reports whether all was heard of that was accepted.
func (h *hearing) all() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.awaiting) == 0
}

// subscribe follows the outcomes of a receiver, those of others too, until ctx ends. It begins anew when the sequence has ended, and
// now and then by itself.
func (s *sender) subscribe(ctx context.Context, peer int) {
	rng := rand.New(rand.NewPCG(s.config.Seed, uint64(s.config.Life*1000+500+peer)))
	subscriber := s.runners[peer].Subscribe(s.config.Name, store.FromOldest)
	for ctx.Err() == nil {
		s.journal.write(event{What: isFollowing, Peer: peer})
		s.listen(ctx, rng, subscriber, peer)
		harness.Pause(ctx, time.Duration(rng.Int64N(int64(20*time.Millisecond))))
	}
}

// listen hears outcomes until there is an error, or for as many as it likes, and acknowledges some of them.
func (s *sender) listen(ctx context.Context, rng *rand.Rand, subscriber *remote.Subscription, peer int) {
	for t, err := range subscriber.Outcomes(ctx) {
		if err != nil {
			if !expected(err) {
				s.journal.write(event{What: isBroken, Peer: peer, Text: "outcomes: " + err.Error()})
			}
			return
		}
		s.journal.write(event{What: isHeard, Peer: peer, Pos: t.Pos, ID: t.ID, Run: t.Run, State: t.State, Result: string(t.Result)})
		s.heard.hear(t.ID)
		if rng.IntN(100) == 0 {
			s.acknowledge(ctx, subscriber, peer, t.Pos)
		}
		if rng.IntN(3000) == 0 {
			return
		}
	}
}

func (s *sender) acknowledge(ctx context.Context, subscriber *remote.Subscription, peer int, pos int64) {
	err := subscriber.Acknowledge(ctx, pos)
	s.journal.write(event{What: isAcknowledged, Peer: peer, Pos: pos, Unsure: err != nil})
	if err != nil && (errors.Is(err, store.ErrCursorAhead) || !expected(err)) {
		s.journal.write(event{What: isBroken, Peer: peer, Text: "acknowledge: " + err.Error()})
	}
}
