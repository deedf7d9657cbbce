package sqlite

import (
	"context"
	"database/sql/driver"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"
)

// memory is what the store knows besides the file: the young tasks, the names of the kinds, and the last numbers that were
// given. The writer alone changes it, in two steps: what a transaction changes is published before the commit, with the mark of
// the transaction, and is settled or reverted when its outcome is known. A reader reads the mark in the file first, and so sees
// of the memory just what belongs to the moment of which it sees the file; also while a commit is under way, and while it is
// not known whether one took place. Neither step takes long, so that no reader waits for the sync of a commit.
type memory struct {
	mu sync.RWMutex // held for writing by the writer, in the two steps; the writer reads without it
	numbers
	kinds
	young   map[uuid.UUID]*young
	bundles map[int64]*bundle
	byAge   []*bundle // the writer's alone; those that are gone as well, until they are at the front

	damaged    map[int64]bool // the writer's alone: waiting tasks that cannot be read, by seq; nobody claims them any more
	lastBundle int64          // the writer's alone: the largest id of a bundle since the file was opened, when there was none
}

// numbers are those of taskrunner_meta.
type numbers struct {
	mark int64 // how many transactions have changed something
	seq  int64 // the last that was given to a task
	pos  int64 // the last that was given to an outcome
}

// row is a task as it is kept, in a table or in a bundle.
type row struct {
	id     uuid.UUID
	seq    int64
	kind   int64
	key    string
	body   []byte
	result []byte
}

// young is a task that runs, and of which the file knows in its bundle alone. None of it changes: whatever happens to the task
// ends its youth.
type young struct {
	row
	run     int64
	node    string
	bundle  *bundle // nil until the transaction that makes it is flushed
	gone    int64   // the mark of the transaction in which it leaves; 0: none
	leaving bool    // the writer's alone: it leaves in the transaction that is under way
}

// bundle is one row of taskrunner_bundles.
type bundle struct {
	id    int64
	born  int64 // the mark of its transaction
	since time.Time
	pos   int64 // the last that was given before it: the outcomes of its tasks stand behind it
	tasks []*young
	left  int // the writer's alone: how many are young still
}

// remember reads what the memory of a file begins with. No task is young then.
func (c *conn) remember(ctx context.Context) (*memory, error) {
	n, err := c.numbers(ctx)
	if err != nil {
		return nil, err
	}
	m := &memory{numbers: n, young: map[uuid.UUID]*young{}, bundles: map[int64]*bundle{}, damaged: map[int64]bool{}}
	err = c.query(ctx, selectKinds, func(values []driver.Value) error {
		c := columns{row: values}
		id, name := next[int64](&c), kindName{runner: next[string](&c), kind: next[string](&c)}
		if m.add([]kindName{name}); id != int64(len(m.names)) && c.err == nil {
			c.err = errColumn(id, int64(len(m.names)))
		}
		return c.err
	})
	return m, err
}

// publish adds what the transaction is about to commit.
func (m *memory) publish(x *tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(x.names)
	for _, b := range x.bundles {
		m.bundles[b.id] = b
		for _, y := range b.tasks {
			m.young[y.id] = y
		}
	}
	for _, y := range x.left {
		y.gone = x.mark
	}
}

// settle is for a transaction that was committed.
func (m *memory) settle(x *tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.numbers = x.numbers
	for _, y := range x.left {
		delete(m.young, y.id)
		if y.bundle.left == 0 {
			delete(m.bundles, y.bundle.id)
			y.bundle.tasks = nil // byAge has it for some time
		}
	}
	m.lastBundle += int64(len(x.bundles))
	m.byAge = append(m.byAge, x.bundles...)
	for len(m.byAge) > 0 && m.byAge[0].left == 0 {
		m.byAge = m.byAge[1:]
	}
}

// revert is for one that was not committed, whether it was published or not.
func (m *memory) revert(x *tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(x.names)
	for _, b := range x.bundles {
		delete(m.bundles, b.id)
		for _, y := range b.tasks {
			delete(m.young, y.id)
		}
	}
	for _, y := range x.left {
		y.gone, y.leaving = 0, false
	}
	for _, y := range x.departed {
		y.bundle.left++
	}
}

// view is the memory as it was when the transaction of this mark was committed. It is used under memory.mu.
type view struct {
	*memory
	mark int64
	pos  int64
}

func (v view) sees(y *young) bool {
	return y.bundle.born <= v.mark && (y.gone == 0 || y.gone > v.mark)
}

func (v view) find(id uuid.UUID) *young {
	if y := v.young[id]; y != nil && v.sees(y) {
		return y
	}
	return nil
}

// all gives the young tasks in no order. It goes through the bundles, which lie closer together in memory than a map's values.
func (v view) all() iter.Seq[*young] {
	return func(yield func(*young) bool) {
		for _, b := range v.bundles {
			for _, y := range b.tasks {
				if v.sees(y) && !yield(y) {
					return
				}
			}
		}
	}
}
