package actors

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// TestAdmissionNeverOvercommits has an admission do random things and compares it with a count.
func TestAdmissionNeverOvercommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		children, places := rapid.IntRange(1, 4).Draw(t, "children"), rapid.IntRange(1, 6).Draw(t, "places")
		a := newAdmission("r", children, places)
		running, waiting, held, line := 0, 0, 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"admit": func(t *rapid.T) {
				tasks := rapid.IntRange(1, 12).Draw(t, "tasks")
				plain := rapid.Bool().Draw(t, "plain")
				start, err := a.admit(context.Background(), &ticket{tasks: tasks, plain: plain})
				if fits := running+waiting+tasks <= children+places; fits != (err == nil) || !fits && !errors.Is(err, ErrFull) {
					t.Fatalf("%d tasks with %d running and %d waiting: %v", tasks, running, waiting, err)
				}
				if err == nil {
					if start > 0 && line > 0 {
						t.Fatalf("%d tasks overtook a plain func that waits in line", start)
					}
					running, waiting = running+start, waiting+tasks-start
					if plain {
						line += tasks - start
					}
					a.leave()
				}
			},
			"begin": func(t *rapid.T) {
				if line > 0 && a.begin() {
					running, waiting, line = running+1, waiting-1, line-1
				}
			},
			"hold": func(t *rapid.T) {
				held += a.hold(rapid.IntRange(1, 3).Draw(t, "n"), rapid.IntRange(1, 2).Draw(t, "probe"))
			},
			"claimed": func(t *rapid.T) {
				tasks := rapid.IntRange(0, min(held, waiting-line)).Draw(t, "tasks")
				a.claimed(held, tasks)
				running, waiting, held = running+tasks, waiting-tasks, 0
			},
			"end": func(t *rapid.T) {
				if running > 0 {
					a.change(-1, 0)
					running--
				}
			},
			"": func(t *rapid.T) {
				r, w := a.counts()
				if r != running || w != waiting || r+held > children {
					t.Fatalf("says %d running and %d waiting, want %d and %d; %d held", r, w, running, waiting, held)
				}
			},
		})
	})
}

func TestCallersWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission("r", 1, 1)
		if start, err := a.admit(t.Context(), &ticket{tasks: 2, plain: true}); start != 1 || err != nil {
			t.Fatal(start, err)
		}
		var order []int
		for i := range 3 {
			go func() {
				if _, err := a.admit(t.Context(), &ticket{tasks: 1, plain: true, waits: true}); err == nil {
					order = append(order, i)
				}
			}()
			synctest.Wait()
		}
		for range 3 {
			a.change(-1, 0)
			a.begin()
			synctest.Wait()
		}
		for i, caller := range order {
			if caller != i {
				t.Fatalf("the callers were served in the order %v", order)
			}
		}
		if len(order) != 3 {
			t.Fatalf("%d callers were served", len(order))
		}
	})
}

func TestCloseRefusesWhoWaitsAndWaitsForWhoIsInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission("r", 1, 1)
		if _, err := a.admit(t.Context(), &ticket{tasks: 2, plain: true}); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error, 1)
		go func() {
			_, err := a.admit(t.Context(), &ticket{tasks: 1, plain: true, waits: true})
			refused <- err
		}()
		synctest.Wait()
		empty := a.close()
		if err := <-refused; !errors.Is(err, ErrStopping) {
			t.Errorf("who waited got %v", err)
		}
		select {
		case <-empty:
			t.Error("somebody is inside")
		default:
		}
		a.leave()
		<-empty
		if _, err := a.admit(t.Context(), &ticket{tasks: 1, plain: true, waits: true}); !errors.Is(err, ErrStopping) {
			t.Errorf("after the close: %v", err)
		}
	})
}

// TestWhoWaitsAlsoWaitsForTheStore: while the store is behind with outcomes, who waits for room is held up, and who does not is let in
// and starts later.
func TestWhoWaitsAlsoWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission("r", 10, 10)
		a.setStalled(true)
		if start, err := a.admit(t.Context(), &ticket{tasks: 1}); start != 0 || err != nil {
			t.Fatalf("who does not wait: %d start, error %v", start, err)
		}
		if start, err := a.admit(t.Context(), &ticket{tasks: 1, plain: true, waits: true}); start != 1 || err != nil {
			t.Fatalf("who is not recorded: %d start, error %v", start, err)
		}
		started := make(chan int, 1)
		go func() {
			start, err := a.admit(t.Context(), &ticket{tasks: 3, waits: true})
			if err != nil {
				t.Error(err)
			}
			started <- start
		}()
		synctest.Wait()
		if len(started) != 0 {
			t.Fatal("who waits was let in")
		}
		a.setStalled(false)
		if start := <-started; start != 3 {
			t.Errorf("%d start, want 3", start)
		}
	})
}

// TestWhatOthersHavePutThereIsNobodysRoom: what is claimed beyond what was counted here takes nothing away, but for what comes back and
// was claimed before we were told that it has.
func TestWhatOthersHavePutThereIsNobodysRoom(t *testing.T) {
	a := newAdmission("r", 10, 10)
	waits := func(what string, want int) {
		t.Helper()
		if _, waiting := a.counts(); waiting != want {
			t.Errorf("%s: %d wait, want %d", what, waiting, want)
		}
	}
	a.claimed(0, 5)
	waits("five of others were claimed", 0)
	a.comeBack()
	waits("one is to come back", 1)
	a.claimed(0, 1)
	waits("it was claimed", 0)
	a.cameBack(true, true)
	waits("and then it was told that it came back", 0)
	a.comeBack()
	a.claimed(0, 1)
	a.cameBack(true, false)
	waits("one of others was claimed, and what was to come back did not", 0)
}

// TestACountWhileTasksAreInserted: what is not in the store yet is not forgotten, and two counts at a time do not both take the mistake away.
func TestACountWhileTasksAreInserted(t *testing.T) {
	a := newAdmission("r", 0, 10)
	admit := func(tasks int) {
		if _, err := a.admit(t.Context(), &ticket{tasks: tasks}); err != nil {
			t.Fatal(err)
		}
	}
	admit(4)
	a.arrived(4)
	admit(3) // the count does not see it
	before, again := a.storedNow(), a.storedNow()
	admit(2) // nor this
	for _, b := range []storedCount{before, again} {
		if !a.correct(b, 1, true) { // others have taken three
			t.Fatal("it was not forced")
		}
		if _, waiting := a.counts(); waiting != 1+3+2 {
			t.Errorf("%d wait, want 6", waiting)
		}
	}
	if a.correct(a.storedNow(), 1, false) {
		t.Error("it was compared while tasks were inserted")
	}
}
