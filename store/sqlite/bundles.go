package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// A task that a node takes for itself, and that ends soon, is written once as a row, with its outcome. Until then it stands in
// a bundle with those that were taken in the same transaction: one row for a thousand tasks, without an index.

const (
	// bundleTasks and bundleBytes are how much one bundle holds. More per row gains nothing that can be measured.
	bundleTasks = 1024
	bundleBytes = 256 << 10
	// bundleLife is how long a bundle is kept for those in it that run on. Then they get rows of their own, so that a few long
	// runs do not hold the bundles of many short ones.
	bundleLife = 5 * time.Second
	// unbundleTasks is about how many of them get their rows in one transaction, which others wait for: 10 ms.
	unbundleTasks = 1024
)

// writeBundles writes those that were born, and deletes the bundles that are empty now.
func (x *tx) writeBundles() error {
	if err := x.unbundleOld(); err != nil {
		return err
	}
	born := slices.DeleteFunc(x.born, func(y *young) bool { return y.leaving }) // who has left already has a row
	for len(born) > 0 {
		n := fitting(born)
		if err := x.writeBundle(slices.Clip(born[:n])); err != nil {
			return err
		}
		born = born[n:]
	}
	for _, y := range x.left {
		x.departed = append(x.departed, y)
		if y.bundle.left--; y.bundle.left > 0 {
			continue
		}
		if err := x.write(deleteBundle, y.bundle.id); err != nil {
			return err
		}
	}
	return nil
}

// fitting is how many of the tasks go into one bundle.
func fitting(tasks []*young) int {
	bytes := 0
	for i, y := range tasks {
		if bytes += len(y.body) + len(y.result); i == bundleTasks || i > 0 && bytes > bundleBytes {
			return i
		}
	}
	return len(tasks)
}

func (x *tx) writeBundle(tasks []*young) error {
	b := &bundle{
		id: x.mem.lastBundle + int64(len(x.bundles)) + 1, born: x.mem.mark + 1, since: x.now, pos: x.mem.pos,
		tasks: tasks, left: len(tasks),
	}
	for _, y := range tasks {
		y.bundle = b
	}
	x.bundles = append(x.bundles, b)
	return x.write(insertBundle, b.id, encodeBundle(tasks))
}

// unbundleOld gives rows to tasks that have been running for some time.
func (x *tx) unbundleOld() error {
	return x.unbundle(func(b *bundle, moved int) bool { return x.now.Sub(b.since) >= bundleLife && moved < unbundleTasks })
}

// unbundle gives rows to the young tasks of the oldest bundles, for as long as want says so.
func (x *tx) unbundle(want func(b *bundle, moved int) bool) error {
	moved := 0
	for _, b := range x.mem.byAge {
		if b.left == 0 {
			continue
		}
		if !want(b, moved) {
			break
		}
		for _, y := range b.tasks {
			if y.gone != 0 || y.leaving {
				continue
			}
			rec, err := x.complete(y)
			if err != nil {
				return err
			}
			x.leave(y)
			if err := x.put(rec); err != nil {
				return err
			}
			moved++
		}
	}
	return x.settle()
}

// unbundleAll is for a file that was just opened: nobody remembers who was young. An entry counts if the task is nowhere else;
// of several entries, of which the others are leftovers, the one of the highest run.
func (x *tx) unbundleAll() error {
	running, bundles, err := x.readBundles()
	if err != nil || bundles == nil {
		return err
	}
	ids := make([]driver.Value, 0, len(running))
	for id := range running {
		ids = append(ids, id[:])
	}
	elsewhere, err := x.find(ids)
	if err != nil {
		return err
	}
	for id, rec := range running {
		if elsewhere[id] != nil {
			continue
		}
		if err := x.put(rec); err != nil {
			return err
		}
	}
	for _, id := range bundles {
		if err := x.write(deleteBundle, id); err != nil {
			return err
		}
	}
	return x.settle()
}

func (x *tx) readBundles() (running map[uuid.UUID]*record, bundles []int64, err error) {
	running = map[uuid.UUID]*record{}
	err = x.query(context.Background(), selectBundles, func(values []driver.Value) error {
		c := columns{row: values}
		bundles = append(bundles, next[int64](&c))
		rows, err := readBundle(next[[]byte](&c))
		if err != nil || c.err != nil {
			return cmp.Or(c.err, err)
		}
		for _, r := range rows {
			rec, err := r.complete(x.mem.names, store.Running)
			if err != nil {
				return err
			}
			if other := running[r.id]; other == nil || other.Run < rec.Run {
				running[r.id] = &rec
			}
		}
		return nil
	})
	return running, bundles, err
}
