package sqlite

import (
	"context"
	"database/sql/driver"
	"maps"
)

// The numbers of tasks, and the last numbers that were given to tasks and outcomes, stand beside the tables that they are about. A
// statement by hand that changes one and not the other would hide tasks, which are listed only if there are any by their number, or have
// a number given twice. So Open makes them right: always in a file that it reads whole anyway (checkedBytes), in a larger one if they
// cannot be right.

// recount makes the numbers right. It is the first of a file that was just opened, when every task is in a table.
func (x *tx) recount(whole bool) error {
	if err := x.raiseNumbers(); err != nil {
		return err
	}
	noted, err := x.countRows(selectNoted)
	if err != nil {
		return err
	}
	if !whole && x.plausible(noted) {
		return nil
	}
	there, err := x.countRows(countTasks, countFinished)
	if err != nil || maps.Equal(noted, there) {
		return err
	}
	if err := x.write(deleteCounts); err != nil {
		return err
	}
	for c, n := range there {
		if err := x.write(addCount, c.kind, c.state, n); err != nil {
			return err
		}
	}
	return nil
}

// raiseNumbers has the next task and the next outcome get numbers that were not given yet. An outcome before what was deleted nobody would
// be given any more, and one before the cursor of a subscriber not that one.
func (x *tx) raiseNumbers() error {
	last, err := x.number(`SELECT max(pos) FROM (SELECT max(pos) AS pos FROM taskrunner_finished
		UNION ALL SELECT max(pos) FROM taskrunner_pruned UNION ALL SELECT max(pos) FROM taskrunner_subscribers)`)
	if err != nil {
		return err
	}
	lastTask, err := x.number(`SELECT max(seq) FROM taskrunner_tasks`)
	if err != nil || last <= x.pos && lastTask <= x.seq {
		return err
	}
	finished, err := x.number(`SELECT max(seq) FROM taskrunner_finished`) // of all rows; but one of the numbers is known to be wrong
	x.pos, x.seq, x.changed = max(x.pos, last), max(x.seq, lastTask, finished), true
	return err
}

// coded is a number in the table of counts.
type coded struct{ kind, state int64 }

// countRows adds up what the statements give, without those of which there are none.
func (x *tx) countRows(texts ...string) (map[coded]int64, error) {
	counts := map[coded]int64{}
	for _, text := range texts {
		err := x.query(context.Background(), text, func(values []driver.Value) error {
			c := columns{row: values}
			of := coded{kind: next[int64](&c), state: next[int64](&c)}
			if n := next[int64](&c); n != 0 {
				counts[of] += n
			}
			return c.err
		})
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// plausible is whether nothing speaks against the numbers that could be seen at once.
func (x *tx) plausible(noted map[coded]int64) bool {
	for _, n := range noted {
		if n < 0 {
			return false
		}
	}
	rows, err := x.number(`SELECT EXISTS (SELECT 1 FROM taskrunner_tasks) OR EXISTS (SELECT 1 FROM taskrunner_finished)`)
	return err != nil || rows == 0 || len(noted) > 0
}
