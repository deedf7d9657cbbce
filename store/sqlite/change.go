package sqlite

import (
	"context"
	"database/sql/driver"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// rule changes a task, or refuses to; see store.ApplyOutcome.
type rule func(*store.Task) (changed bool, refused error)

// change has the rule change a task, and records what it has become.
func (x *tx) change(rec *record, y *young, r rule) (refused, err error) {
	from, before, pos := rec.State, slices.Clip(rec.History), rec.Pos
	changed, refused := r(&rec.Task)
	if refused != nil || !changed {
		return refused, nil
	}
	if err := x.remember(rec, len(before)); err != nil {
		return nil, err
	}
	x.move(rec.kind, from, rec.State)
	x.announce(&rec.Task)
	switch {
	case y != nil:
		x.leave(y)
		return nil, x.put(rec)
	case pos > 0: // it was retried by hand
		return nil, x.supersede(rec, before, pos)
	}
	if err := x.drain(x.waiting); err != nil { // its row may be among these
		return nil, err
	}
	if !rec.State.Final() {
		return nil, x.update(rec)
	}
	if err := x.write(deleteTasks.one, rec.Seq); err != nil {
		return nil, err
	}
	return nil, x.put(rec)
}

// remember adds what a rule has appended to the history.
func (x *tx) remember(rec *record, known int) error {
	added := rec.History[known:]
	for _, a := range added {
		err := x.write(insertAttempt, rec.key[:], int64(a.Attempt), a.Run, a.Node, stateCode(a.State), moment(a.StartedAt),
			moment(a.FinishedAt), a.Error, a.Stack)
		if err != nil {
			return err
		}
	}
	first := !rec.hasHistory
	rec.hasHistory = rec.hasHistory || len(added) > 0
	if first || len(added) == 0 {
		return nil
	}
	rec.History = rec.History[max(0, len(rec.History)-store.MaxHistory):]
	return x.write(trimHistory, rec.key[:], int64(store.MaxHistory))
}

// supersede leaves the outcome behind as it was, with the history that it had.
func (x *tx) supersede(rec *record, history []store.Attempt, pos int64) error {
	if err := x.write(supersede, appendHistory(nil, history), pos); err != nil {
		return err
	}
	return x.put(rec)
}

func (x *tx) update(rec *record) error {
	return x.write(updateTask, stateCode(rec.State), moment(rec.ScheduledAt), flag(rec.CancelRequested),
		appendBody(nil, &rec.Task, rec.hasHistory), blob(rec.Result), rec.Seq)
}

// announce has those told whom it concerns. Who waits for outcomes need not be the runner, so all are told of them. What waits
// for its time is told too: the runner may know of none that is due so soon.
func (x *tx) announce(t *store.Task) {
	switch {
	case t.State.Final():
		x.toldAll |= store.SignalOutcomes
	case t.State.Waiting():
		x.tell(t.Runner, store.SignalWork)
	case t.CancelRequested:
		x.tell(t.Runner, store.SignalCancels)
	}
}

// changeAll has the rules change the tasks of these ids, each for itself, and gives what has become of them: nil, and a refusal,
// for those that do not exist. An id may come more than once.
func (x *tx) changeAll(ids []uuid.UUID, withHistory bool, ruleOf func(i int) rule) (changed []*record, refused []error, err error) {
	found, err := x.lookUp(ids, withHistory)
	if err != nil {
		return nil, nil, err
	}
	changed, refused = make([]*record, len(ids)), make([]error, len(ids))
	for i, id := range ids {
		rec := found[id]
		if rec == nil {
			refused[i] = notFound(id.String())
			continue
		}
		changed[i] = rec
		if refused[i], err = x.change(rec, x.youngOf(id), ruleOf(i)); err != nil {
			return nil, nil, err
		}
	}
	return changed, refused, nil
}

// lookUp gives the tasks of these ids, wherever they are.
func (x *tx) lookUp(ids []uuid.UUID, withHistory bool) (map[uuid.UUID]*record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := make(map[uuid.UUID]*record, len(ids))
	var keys []driver.Value
	for i, id := range ids {
		y := x.youngOf(id)
		if y == nil {
			keys = append(keys, ids[i][:])
			continue
		}
		rec, err := x.complete(y)
		if err != nil {
			return nil, err
		}
		found[id] = rec
	}
	if len(keys) > 0 {
		rows, err := x.find(keys)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, rows)
	}
	if withHistory {
		return found, x.addHistories(found)
	}
	return found, nil
}

func (x *tx) addHistories(found map[uuid.UUID]*record) error {
	records := make([]record, 0, len(found))
	for _, rec := range found {
		records = append(records, *rec)
	}
	if err := x.loadHistories(context.Background(), records); err != nil {
		return err
	}
	for i := range records {
		found[records[i].key].History = records[i].History
	}
	return nil
}
