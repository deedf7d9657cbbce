package supervisor

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWindowAgainstCounting compares the window with counting all restarts anew.
func TestWindowAgainstCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{limit: rapid.IntRange(0, 5).Draw(t, "limit"), span: time.Duration(rapid.IntRange(1, 10).Draw(t, "span"))}
		now, all := time.Unix(0, 0), []time.Time(nil)
		for range 50 {
			now = now.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "step")))
			all = append(all, now)
			within := 0
			for _, at := range all {
				if now.Sub(at) <= w.span {
					within++
				}
			}
			if got, want := w.add(now), within <= w.limit; got != want {
				t.Fatalf("%d restarts within %d, limit %d: holds %v, want %v", within, w.span, w.limit, got, want)
			}
		}
	})
}
