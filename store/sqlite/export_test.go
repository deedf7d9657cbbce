package sqlite

import "context"

// Write hands an operation to the writer, as the methods of the Store do.
func (s *Store) Write(ctx context.Context, rows int, run func(exec func(text string) error) error) error {
	return s.write(ctx, rows, func(x *tx) error {
		return run(func(text string) error {
			_, err := x.exec(text)
			return err
		})
	})
}

// Read runs f with the numbers that statements give, all in one transaction of a reader.
func (s *Store) Read(ctx context.Context, f func(number func(text string) (int64, error)) error) error {
	return s.read(ctx, func(c *conn) error {
		return f(func(text string) (int64, error) { return c.number(text) })
	})
}

// Queued is how many operations wait for the writer.
func (s *Store) Queued() int { return len(s.writer.queue) }

// Statements are the texts of all statements on the table of tasks.
func Statements() map[string]string {
	return map[string]string{
		"runsByID one": runsByID.one, "runsByID many": runsByID.many,
		"tasksByID one": tasksByID.one, "tasksByID many": tasksByID.many,
		"tasksBySeq one": tasksBySeq.one, "tasksBySeq many": tasksBySeq.many,
		"histories one": histories.one, "histories many": histories.many,
		"updateEnd": updateEnd, "updateTask": updateTask, "updateProgress": updateProgress,
		"selectWaiting": selectWaiting, "selectRunning": selectRunning, "selectCancelRequests": selectCancelRequests,
		"selectLast": selectLast, "selectLastSeq": selectLastSeq, "selectPage": selectPage,
		"selectRunPage": selectRunPage, "selectStatePage": selectStatePage, "selectCounts": selectCounts,
	}
}

// CheckSpots does what Open does with a file that is too large for a whole check.
func (s *Store) CheckSpots(ctx context.Context) error {
	return s.write(ctx, 1, func(x *tx) error { return x.checkSpots() })
}
