package storetest

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
)

// modelSubscriberNames are few, so that most often there is one of the name.
var modelSubscriberNames = []string{"s1", "s2", "s3"}

func (m *model) subscribe(t *rapid.T) {
	name := rapid.SampledFrom(modelSubscriberNames).Draw(t, "name")
	after := rapid.SampledFrom(append(m.places(), store.FromOldest, store.FromNow)).Draw(t, "after")
	end := m.end()
	got, err := m.env.Subscribe(ctx(), m.now, m.runner, name, after)
	known, exists := m.subscribers[name]
	switch {
	case exists:
		m.check(err)
		known.SeenAt = micro(m.now)
	case after > store.FromOldest && after < m.deleted:
		if !errors.Is(err, store.ErrCursorExpired) {
			m.t.Fatalf("subscribed at %d, all up to %d is deleted: %v", after, m.deleted, err)
		}
		return
	default:
		m.check(err)
		if after == store.FromNow {
			after = end
		}
		known = store.Subscriber{Name: name, Cursor: max(after, m.deleted), CreatedAt: micro(m.now), SeenAt: micro(m.now)}
	}
	if got != known.Cursor {
		m.t.Fatalf("subscribed at %d, the cursor is %d, want %d", after, got, known.Cursor)
	}
	m.subscribers[name] = known
}

// places are those of the outcomes that are there, and where one was deleted.
func (m *model) places() (places []int64) {
	for _, end := range m.ends {
		places = append(places, end.pos)
	}
	return append(places, m.deleted)
}

func (m *model) acknowledge(t *rapid.T) {
	name := rapid.SampledFrom(modelSubscriberNames).Draw(t, "name")
	pos := rapid.SampledFrom(append(m.places(), store.FromOldest)).Draw(t, "pos")
	got, err := m.env.Acknowledge(ctx(), m.now, m.runner, name, pos)
	known, exists := m.subscribers[name]
	if !exists {
		if !errors.Is(err, store.ErrNotFound) {
			m.t.Fatalf("acknowledged for nobody: %v", err)
		}
		return
	}
	m.check(err)
	known.Cursor, known.SeenAt = max(known.Cursor, pos), micro(m.now)
	m.subscribers[name] = known
	if got != known.Cursor {
		m.t.Fatalf("acknowledged %d, the cursor is %d, want %d", pos, got, known.Cursor)
	}
}

func (m *model) unsubscribe(t *rapid.T) {
	name := rapid.SampledFrom(modelSubscriberNames).Draw(t, "name")
	m.check(m.env.Unsubscribe(ctx(), m.runner, name))
	delete(m.subscribers, name)
}

// follow compares all subscribers, and reads behind the cursor of one.
func (m *model) follow(t *rapid.T) {
	all, err := m.env.Subscribers(ctx(), m.runner)
	m.check(err)
	var want []store.Subscriber
	for _, s := range m.subscribers {
		want = append(want, s)
	}
	slices.SortFunc(want, func(a, b store.Subscriber) int { return cmp.Compare(a.Name, b.Name) })
	if !slices.Equal(all, want) {
		m.t.Fatalf("the subscribers are\n%+v, want\n%+v", all, want)
	}
	if len(all) == 0 {
		return
	}
	s := rapid.SampledFrom(all).Draw(t, "subscriber")
	found, err := m.env.Outcomes(ctx(), store.OutcomeQuery{Runner: m.runner, After: s.Cursor, Gapless: true, Limit: store.MaxList})
	if s.Cursor < m.deleted {
		if !errors.Is(err, store.ErrCursorExpired) {
			m.t.Fatalf("behind %d, all up to %d is deleted: %v", s.Cursor, m.deleted, err)
		}
		return
	}
	m.check(err)
	var behind []string
	for _, end := range m.ends {
		if end.pos > s.Cursor {
			behind = append(behind, end.id)
		}
	}
	if got := ids(found.Tasks); !slices.Equal(got, behind) {
		m.t.Fatalf("behind %d there are %v, want %v", s.Cursor, got, behind)
	}
}

// keptFrom is up to where nobody keeps anything.
func (m *model) keptFrom(subscribers time.Time) int64 {
	upTo := int64(math.MaxInt64)
	for _, s := range m.subscribers {
		if subscribers.IsZero() || !s.SeenAt.Before(micro(subscribers)) {
			upTo = min(upTo, s.Cursor)
		}
	}
	return upTo
}

// place asks for the places of the outcomes that are new: each is the last of its task.
func (m *model) place() {
	for i := range m.ends {
		if m.ends[i].pos == 0 {
			task, err := m.env.Get(ctx(), m.ends[i].id)
			m.check(err)
			m.ends[i].pos = task.Pos
		}
	}
}
