package postgres

import (
	"context"

	"github.com/taskrunner-go/taskrunner/store"
)

// Ended implements store.Reader. It does not look into bundles: what is there runs.
func (s *Store) Ended(ctx context.Context, ids []string) (ended []store.Task, err error) {
	if err := store.ValidIDs(ids); err != nil {
		return nil, err
	}
	asked := make([]uuid, len(ids))
	for i, id := range ids {
		asked[i] = parseID(id)
	}
	err = s.read(ctx, "reading", func(ctx context.Context, l *link) error {
		var rows []*row
		err := l.run(ctx, s.sql.endedTasks.with(uuids(asked...)).each(func(c *columns) {
			pos := c.int64()
			r := s.sql.scan(c)
			r.Pos = pos
			rows = append(rows, &r)
		}))
		if err == nil {
			err = s.loadHistories(ctx, l, rows...)
		}
		ended = ended[:0]
		for _, r := range rows {
			ended = append(ended, r.Task)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}
