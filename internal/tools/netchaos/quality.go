package main

import (
	"math/rand/v2"
	"time"
)

// quality is how bad a wire is.
type quality struct {
	latency time.Duration // of each packet, one way
	jitter  time.Duration // more than that, by chance; packets that follow each other closely change places by it
	loss    float64       // share of packets that are lost
	doubles float64       // share of packets that arrive twice
	late    float64       // share of packets that take much longer, so that many others overtake them
	lateBy  time.Duration
}

// rough is a long way over a bad radio link.
func rough() *quality {
	return &quality{
		latency: 15 * time.Millisecond, jitter: 5 * time.Millisecond, loss: 0.01, doubles: 0.005, late: 0.01, lateBy: 40 * time.Millisecond,
	}
}

// fate is what becomes of a packet: its copies arrive after these times, none if it is lost.
type fate struct {
	after []time.Duration
	late  bool
}

// fate draws what becomes of the next packet.
func (q quality) fate(rng *rand.Rand) fate {
	if rng.Float64() < q.loss {
		return fate{}
	}
	f := fate{late: rng.Float64() < q.late}
	copies := 1
	if rng.Float64() < q.doubles {
		copies = 2
	}
	for range copies {
		after := q.latency + time.Duration(rng.Float64()*float64(q.jitter))
		if f.late {
			after += q.lateBy
		}
		f.after = append(f.after, after)
	}
	return f
}
