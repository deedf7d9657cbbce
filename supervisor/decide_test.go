package supervisor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/messages"
)

var (
	clean = []error{messages.Normal, messages.Shutdown, &messages.ShutdownWith{Value: 1}, fmt.Errorf("wrapped: %w", messages.Shutdown)}
	dirty = []error{messages.Killed, messages.NoProc, messages.ErrGoexit, errors.New("boom"), &messages.PanicError{Value: messages.Normal}}
)

// TestDecide names every row of the rule: the verdict after a clean end and after any other.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name         string
		e            ending
		clean, dirty verdict
	}{
		{"permanent", ending{restart: Permanent}, again, again},
		{"permanent under any", ending{restart: Permanent, auto: AnySignificant}, again, again},
		{"transient", ending{restart: Transient}, stay, again},
		{"temporary", ending{restart: Temporary}, forget, forget},

		{"plain transient under any", ending{restart: Transient, auto: AnySignificant}, stay, again},
		{"plain temporary under any", ending{restart: Temporary, auto: AnySignificant}, forget, forget},
		{"significant transient under any", ending{restart: Transient, significant: true, auto: AnySignificant}, giveUp, again},
		{"significant temporary under any", ending{restart: Temporary, significant: true, auto: AnySignificant}, giveUp, giveUp},
		{"significant transient under any, not the last", ending{restart: Transient, significant: true, auto: AnySignificant, others: true}, giveUp, again},
		{"significant temporary under any, not the last", ending{restart: Temporary, significant: true, auto: AnySignificant, others: true}, giveUp, giveUp},

		{"plain transient under all", ending{restart: Transient, auto: AllSignificant}, stay, again},
		{"plain temporary under all", ending{restart: Temporary, auto: AllSignificant}, forget, forget},
		{"significant transient under all, the last", ending{restart: Transient, significant: true, auto: AllSignificant}, giveUp, again},
		{"significant temporary under all, the last", ending{restart: Temporary, significant: true, auto: AllSignificant}, giveUp, giveUp},
		{"significant transient under all, not the last", ending{restart: Transient, significant: true, auto: AllSignificant, others: true}, stay, again},
		{"significant temporary under all, not the last", ending{restart: Temporary, significant: true, auto: AllSignificant, others: true}, forget, forget},

		{"significant transient under never", ending{restart: Transient, significant: true, auto: Never}, stay, again},
		{"significant temporary under never", ending{restart: Temporary, significant: true, auto: Never}, forget, forget},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(reasons []error, want verdict) {
				for _, reason := range reasons {
					e := c.e
					e.reason = reason
					if got := decide(e); got != want {
						t.Errorf("after %v: verdict %d, want %d", reason, got, want)
					}
				}
			}
			check(clean, c.clean)
			check(dirty, c.dirty)
		})
	}
}

func TestGroup(t *testing.T) {
	for _, c := range []struct {
		strategy       Strategy
		index, n       int
		wantFrom, want int
	}{
		{OneForOne, 0, 1, 0, 1},
		{OneForOne, 0, 3, 0, 1},
		{OneForOne, 2, 3, 2, 3},
		{OneForAll, 0, 1, 0, 1},
		{OneForAll, 0, 3, 0, 3},
		{OneForAll, 2, 3, 0, 3},
		{RestForOne, 0, 3, 0, 3},
		{RestForOne, 1, 3, 1, 3},
		{RestForOne, 2, 3, 2, 3},
	} {
		if from, to := group(c.strategy, c.index, c.n); from != c.wantFrom || to != c.want {
			t.Errorf("%s, child %d of %d: %d to %d, want %d to %d", c.strategy, c.index, c.n, from, to, c.wantFrom, c.want)
		}
	}
}

func TestIsShutdownError(t *testing.T) {
	shutdownWith, wrapped := &messages.ShutdownWith{}, fmt.Errorf("wrapped: %w", messages.Shutdown)
	for _, c := range []struct {
		restart Restart
		brutal  bool
		reason  error
		want    bool
	}{
		{Permanent, false, messages.Shutdown, false},
		{Permanent, false, messages.Normal, true},
		{Permanent, false, shutdownWith, true},
		{Permanent, false, wrapped, true},
		{Permanent, false, messages.Killed, true},
		{Permanent, true, messages.Killed, false},
		{Permanent, true, messages.Shutdown, false},
		{Permanent, true, messages.Normal, true},
		{Transient, false, messages.Shutdown, false},
		{Transient, false, messages.Normal, false},
		{Transient, false, shutdownWith, false},
		{Transient, false, wrapped, false},
		{Transient, false, messages.Killed, true},
		{Transient, true, messages.Killed, false},
		{Transient, true, messages.Normal, false},
		{Transient, true, messages.NoProc, true},
		{Temporary, false, messages.Normal, false},
		{Temporary, false, messages.Killed, true},
	} {
		if got := isShutdownError(c.restart, c.brutal, c.reason); got != c.want {
			t.Errorf("%s, brutal %v, %v: %v, want %v", c.restart, c.brutal, c.reason, got, c.want)
		}
	}
}

func TestNewWindow(t *testing.T) {
	for _, c := range []struct {
		limit     int
		span      time.Duration
		wantLimit int
		wantSpan  time.Duration
	}{
		{0, 0, DefaultMaxRestarts, DefaultMaxSeconds},
		{NoRestarts, 0, 0, DefaultMaxSeconds},
		{1, time.Second, 1, time.Second},
		{7, 1, 7, 1},
	} {
		if w := newWindow(c.limit, c.span); w.limit != c.wantLimit || w.span != c.wantSpan || len(w.restarts) != 0 {
			t.Errorf("newWindow(%d, %s) = %+v, want %d in %s", c.limit, c.span, w, c.wantLimit, c.wantSpan)
		}
	}
}

func TestValidIntensity(t *testing.T) {
	for _, c := range []struct {
		limit int
		span  time.Duration
		want  string
	}{
		{0, 0, ""}, {NoRestarts, 0, ""}, {1, 1, ""}, {1 << 40, time.Hour, ""},
		{NoRestarts - 1, 0, "supervisor: MaxRestarts is -2, want a number or NoRestarts"},
		{0, -1, "supervisor: MaxSeconds is -1ns, want a positive duration"},
		{-2, -1, "supervisor: MaxRestarts is -2, want a number or NoRestarts"},
	} {
		if err := validIntensity(c.limit, c.span); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("validIntensity(%d, %s) = %v, want %q", c.limit, c.span, err, c.want)
		}
	}
}

// TestWindow gives the moments of restarts, and whether the limit holds at each.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int
		span  time.Duration
		at    []time.Duration
		holds []bool
	}{
		{"none allowed", 0, 10, []time.Duration{0}, []bool{false}},
		{"one, at the edge", 1, 10, []time.Duration{0, 10}, []bool{true, false}},
		{"one, just outside", 1, 10, []time.Duration{0, 11, 22}, []bool{true, true, true}},
		{"at one moment", 2, 10, []time.Duration{5, 5, 5}, []bool{true, true, false}},
		{"it slides", 2, 10, []time.Duration{0, 6, 11, 17, 21}, []bool{true, true, true, true, false}},
		{"several grow old at once", 3, 10, []time.Duration{0, 1, 2, 30, 31, 32, 33}, []bool{true, true, true, true, true, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := window{limit: c.limit, span: c.span}
			for i, at := range c.at {
				if got := w.add(time.Unix(0, int64(at))); got != c.holds[i] {
					t.Errorf("restart %d at %d: holds %v, want %v", i, at, got, c.holds[i])
				}
			}
		})
	}
}

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
			if len(w.restarts) != within { // by which a Backoff is chosen
				t.Fatalf("it remembers %d restarts, want %d", len(w.restarts), within)
			}
		}
	})
}

func TestBackoffDelay(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for _, c := range []struct {
		b    Backoff
		n    int
		want time.Duration
	}{
		{Backoff{}, 1, 0},
		{Backoff{}, 1000, 0},
		{Backoff{Max: 5}, 9, 0},
		{Backoff{Initial: 3}, 1, 3},
		{Backoff{Initial: 3}, 2, 3},
		{Backoff{Initial: 3, Max: 3}, 9, 3},
		{Backoff{Initial: 3, Max: 11}, 1, 3},
		{Backoff{Initial: 3, Max: 11}, 2, 6},
		{Backoff{Initial: 3, Max: 11}, 3, 11},
		{Backoff{Initial: 3, Max: 12}, 3, 12},
		{Backoff{Initial: 3, Max: 12}, 4, 12},
		{Backoff{Initial: 1, Max: 1<<63 - 1}, 1000, 1<<63 - 1},
		{Backoff{Initial: month, Max: 1<<63 - 1}, 1000, 1<<63 - 1},
	} {
		if got := c.b.delay(c.n); got != c.want {
			t.Errorf("%+v, restart %d: %d, want %d", c.b, c.n, got, c.want)
		}
	}
}

func TestNamesOfValues(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"permanent": Permanent, "transient": Transient, "temporary": Temporary, "Restart(3)": Restart(3),
		"worker": TypeWorker, "supervisor": TypeSupervisor, "ChildType(2)": ChildType(2),
		"one_for_one": OneForOne, "one_for_all": OneForAll, "rest_for_one": RestForOne, "Strategy(0)": Strategy(0),
		"never": Never, "any_significant": AnySignificant, "all_significant": AllSignificant, "AutoShutdown(3)": AutoShutdown(3),
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
