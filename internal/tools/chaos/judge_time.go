package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// These promises are about time. All processes have one clock; what a child tells is some microseconds late.

// slack is how much earlier than by the clock something may seem to be.
const slack = 50 * time.Millisecond

// until is when a run was over: when its handler returned, or its process died, or it was told to stop and abandoned.
func (m *matter) until(start event) time.Duration {
	end := m.h.Lives[start.Process].end()
	if e, ok := m.t.ofRun(isReturned, start.Run); ok {
		end = e.At
	}
	if e, ok := m.t.ofRun(isTold, start.Run); ok && e.How != byTaken {
		told := e.At
		if e.How == byTimeout { // it was, then, whenever the process came to tell of it
			told = min(told, start.At+m.t.order().Timeout)
		}
		end = min(end, told+m.h.Rules.Grace-slack)
	}
	return end
}

// mayOverlap reports whether a run may be under way at that time although a later one of its task is: its process was paused and
// does not know yet that the task was taken, and whatever it brings is not recorded.
func (m *matter) mayOverlap(older event, at time.Duration) bool {
	l := &m.h.Lives[older.Process]
	return m.h.Rules.Pauses && !m.t.recorded(older.Run) && (l.excused(older.At) || l.excused(at))
}

func (m *matter) overlapped() string {
	for i, a := range m.starts {
		for _, b := range m.starts[i+1:] {
			older := a
			if b.Run < a.Run {
				older = b
			}
			if end := m.until(a); b.At < end && !m.mayOverlap(older, b.At) {
				return fmt.Sprintf("run %d in %s, from %s to %s; run %d in %s, from %s", a.Run, m.name(a), a.At, end, b.Run, m.name(b), b.At)
			}
		}
	}
	return ""
}

// buriedAlive: the history has a task taken from a node that died, and the node had not.
func (m *matter) buriedAlive() string {
	if m.t.Task == nil {
		return ""
	}
	for _, a := range m.t.Task.History {
		if a.Error == store.OrphanError && !m.mayBeDead(a.Node) {
			return fmt.Sprintf("run %d was taken from %s, which had not died", a.Run, a.Node)
		}
	}
	for _, e := range m.t.of(isTold) {
		if e.How == byTaken && !m.mayBeDead(m.h.Lives[e.Process].Node) {
			return fmt.Sprintf("run %d was told that it was taken from %s, which had not been paused", e.Run, m.name(e))
		}
	}
	return ""
}

func (m *matter) mayBeDead(node string) bool {
	for i := range m.h.Lives {
		if l := &m.h.Lives[i]; l.Node == node {
			return l.Killed || l.Crashed != "" || m.h.Rules.Pauses && slices.ContainsFunc(l.Pauses, func(p span) bool { return p.To-p.From >= lease })
		}
	}
	return true // it died before it could tell its name
}

// untold: a run that goes on in a process that was paused, and whose task has run elsewhere meanwhile, is told so.
func (m *matter) untold() string {
	for i, a := range m.starts {
		for _, b := range m.starts[i+1:] {
			if b.Run < a.Run || b.At >= m.until(a) {
				continue
			}
			if _, told := m.t.ofRun(isTold, a.Run); told {
				continue
			}
			l := &m.h.Lives[a.Process]
			if awake := l.awake(b.At, m.until(a)); len(l.Pauses) > 0 && awake > tardy {
				return fmt.Sprintf("run %d in %s went on for %s without a pause and was not told that run %d had begun", a.Run, m.name(a), awake, b.Run)
			}
		}
	}
	return ""
}

// awake is the longest time without a pause between two moments.
func (l *life) awake(from, to time.Duration) (longest time.Duration) {
	for _, p := range l.Pauses {
		if p.To > from && p.From < to {
			longest, from = max(longest, p.From-from), p.To
		}
	}
	return max(longest, to-from)
}

// rerun is a run that was cut short by the death of its process, and the task's next one.
type rerun struct {
	run, next event
	after     time.Duration // since the moment from which it could be
}

// reruns finds them. A run that has an outcome was not cut short, or it was discarded by the death, and runs again only because
// somebody wants so.
func (m *matter) reruns() (found []rerun) {
	for _, e := range m.starts {
		l := &m.h.Lives[e.Process]
		_, returned := m.t.ofRun(isReturned, e.Run)
		if !l.Killed || returned && !m.t.orphaned(e.Run) || m.t.ended(e.Run) {
			continue
		}
		later := slices.DeleteFunc(slices.Clone(m.starts), func(s event) bool { return s.Run <= e.Run || s.At < l.Died })
		if len(later) > 0 {
			next := slices.MinFunc(later, func(a, b event) int { return cmp.Compare(a.Run, b.Run) })
			found = append(found, rerun{e, next, next.At - m.from(e, next)})
		}
	}
	return found
}

// from is the moment from which on the next run could be. That is the death of the process; or, if it was later, the birth of that
// one which has watched for the longest of those that are there, or the last of the marks. Run numbers between the two are of
// processes that had the task meanwhile and never came to start its handler: then it is the end of the last process that ended.
func (m *matter) from(cut, next event) time.Duration {
	died := m.h.Lives[cut.Process].Died
	since := max(died, m.h.watchedSince(next.At))
	for _, mark := range m.h.Marks {
		if mark <= next.At {
			since = max(since, mark)
		}
	}
	if next.Run == cut.Run+1 {
		return since
	}
	for i := range m.h.Lives {
		if end := m.h.Lives[i].end(); end > died && end <= next.At {
			since = max(since, end)
		}
	}
	return since
}

// watchedSince is since when the process has watched the others that does so for the longest time, of those that live at that
// time. Who stands still does not watch.
func (h *history) watchedSince(at time.Duration) time.Duration {
	longest := at
	for i := range h.Lives {
		l := &h.Lives[i]
		if l.Born > at || l.end() <= at {
			continue
		}
		since := l.Born
		for _, p := range l.Pauses {
			if p.From <= at {
				since = min(p.To, at)
			}
		}
		longest = min(longest, since)
	}
	return longest
}

func (m *matter) late() string {
	if m.h.Rules.Soon == 0 {
		return ""
	}
	for _, r := range m.reruns() {
		if r.after > m.h.Rules.Soon {
			return fmt.Sprintf("run %d was cut short in %s, and run %d was started in %s after %s", r.run.Run, m.name(r.run), r.next.Run, m.name(r.next), r.after)
		}
	}
	return ""
}
