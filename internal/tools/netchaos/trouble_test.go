package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestDrawRound: all kinds come, and none that cannot go together.
func TestDrawRound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	seen, long := map[string]int{}, 0
	for range 5000 {
		troubles, takes := drawRound(rng, 3)
		if len(troubles) == 2 && troubles[0].Machine == troubles[1].Machine && ofProcess(troubles[0].Kind) == ofProcess(troubles[1].Kind) {
			t.Fatalf("%v go not together", troubles)
		}
		for i, trouble := range troubles {
			seen[trouble.Kind]++
			if takes[i] > 13*time.Second {
				long++
			}
		}
	}
	for _, e := range evils() {
		if seen[e.kind] < 100 {
			t.Errorf("%s: %d times", e.kind, seen[e.kind])
		}
	}
	if long < 50 {
		t.Errorf("%d were so long that both ends notice the silence", long)
	}
}

// TestFate: what is lost, doubled and late is so as often as it should be, and packets overtake each other.
func TestFate(t *testing.T) {
	t.Parallel()
	const packets = 100_000
	q, rng := rough(), rand.New(rand.NewPCG(1, 2))
	lost, doubled, late, overtaken := 0, 0, 0, 0
	var before time.Duration
	for range packets {
		f := q.fate(rng)
		switch len(f.after) {
		case 0:
			lost++
			continue
		case 2:
			doubled++
		}
		if f.late {
			late++
		}
		if f.after[0] < before {
			overtaken++
		}
		before = f.after[0]
		if least, most := q.latency, q.latency+q.jitter+q.lateBy; f.after[0] < least || f.after[0] > most {
			t.Fatalf("a packet takes %s, want %s to %s", f.after[0], least, most)
		}
	}
	for name, c := range map[string]struct {
		got  int
		want float64
	}{"lost": {lost, q.loss}, "doubled": {doubled, q.doubles}, "late": {late, q.late}} {
		if share := float64(c.got) / packets; share < 0.8*c.want || share > 1.2*c.want {
			t.Errorf("%s: %.4f, want %.4f", name, share, c.want)
		}
	}
	if overtaken < packets/4 {
		t.Errorf("only %d of %d packets that follow each other closely change places", overtaken, packets)
	}
}
