package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gofrs/flock"

	"github.com/taskrunner-go/taskrunner/store"
)

// spool is a file in which outcomes wait while the server is away. It begins with a header, which says to which database they belong;
// then come records. It only grows, until none of its outcomes waits any more; then it is emptied.
type spool struct {
	path  string
	limit int64
	lock  *flock.Flock

	mu      sync.Mutex
	file    *os.File
	size    int64
	waiting map[int64]*spooled // by number
	last    int64
}

// spooled is an outcome in the spool.
type spooled struct {
	outcome store.Outcome
	owned   bool // by a call of Finish, which has it recorded itself
}

// errSpoolFull is told by Finish; the outcomes wait in memory.
var errSpoolFull = errors.New("the spool is full")

// openSpool opens the file, or makes it, and reads what has been left in it. What a crash has torn off at its end is not used: its
// Finish had not returned. The path of what is refused is left as it was, without a lock beside it.
func openSpool(path string, limit int64, database uuid) (*spool, error) {
	absolute, err := filepath.Abs(path)
	if err == nil {
		err = inspect(absolute, database)
	}
	if err != nil {
		return nil, spoolFault(path, err)
	}
	s := &spool{path: absolute, limit: limit, waiting: map[int64]*spooled{}, lock: flock.New(absolute+".lock", flock.SetPermissions(0o600))}
	locked, err := s.lock.TryLock()
	if err == nil && !locked {
		err = store.ErrLocked
	}
	if err == nil {
		if err = s.open(database); err == nil {
			return s, nil
		}
		_ = s.close()
	}
	return nil, spoolFault(path, err)
}

// spoolError is what is wrong with the file of Config.Spool. It says so of the file, where the text of a sentinel is about the database.
type spoolError struct {
	path, reason string
	is           error
}

func (e *spoolError) Error() string {
	return fmt.Sprintf("store/postgres: Config.Spool is %q: %s", e.path, e.reason)
}

func (e *spoolError) Unwrap() error { return e.is }

func spoolFault(path string, err error) error {
	var told *spoolError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return &spoolError{path: path, reason: told.reason, is: told.is}
	case errors.Is(err, store.ErrLocked):
		return &spoolError{path: path, reason: "another store uses it: each needs a file of its own", is: err}
	case errors.Is(err, fs.ErrPermission):
		return &spoolError{path: path, reason: fmt.Sprintf("%v: this process must be allowed to read and write it, and to make files beside it", err), is: err}
	}
	return &spoolError{path: path, reason: err.Error(), is: err}
}

// notSpool refuses a path.
func notSpool(is error, reason string, args ...any) error {
	return &spoolError{reason: fmt.Sprintf(reason, args...), is: is}
}

// inspect refuses what cannot become a spool of this database, before anything is made or changed.
func inspect(path string, database uuid) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return inspectFolder(filepath.Dir(path))
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return notSpool(store.ErrInvalid, "it is no regular file: it must be the path of one, or of none in a folder that exists")
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the path is of the configuration
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(file, int64(spoolHeader)))
	if err != nil {
		return err
	}
	return checkHeader(content, database)
}

func inspectFolder(folder string) error {
	info, err := os.Stat(folder)
	switch {
	case err != nil:
		return notSpool(err, "the folder %s cannot be used (%v): it must exist", folder, errors.Unwrap(err))
	case !info.IsDir():
		return notSpool(store.ErrInvalid, "%s is no folder", folder)
	}
	return nil
}

func (s *spool) open(database uuid) (err error) {
	if s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(s.file, s.limit+int64(spoolHeader+maxRecord)))
	if err != nil {
		return err
	}
	if err := checkHeader(content, database); err != nil {
		return err
	}
	if len(content) < spoolHeader {
		return s.begin(database)
	}
	outcomes, used := readRecords(content[spoolHeader:])
	s.size = int64(spoolHeader + used)
	for _, o := range outcomes {
		s.add(o, false)
	}
	return s.file.Truncate(s.size)
}

// begin writes the header of a new file. Its name must last too.
func (s *spool) begin(database uuid) error {
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(header(database), 0); err != nil {
		return err
	}
	s.size = int64(spoolHeader)
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	return errors.Join(s.file.Sync(), dir.Sync(), dir.Close())
}

func (s *spool) add(o store.Outcome, owned bool) (number int64) {
	s.last++
	s.waiting[s.last] = &spooled{outcome: o, owned: owned}
	return s.last
}

// keep writes outcomes and syncs them. All are kept, or none.
func (s *spool) keep(outcomes []store.Outcome) (numbers []int64, err error) {
	var records []byte
	for i := range outcomes {
		records = appendRecordOf(records, &outcomes[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+int64(len(records)) > s.limit {
		return nil, fmt.Errorf("%w: it has %d bytes of %d, these %d outcomes would take %d", errSpoolFull, s.size, s.limit, len(outcomes), len(records))
	}
	if _, err := s.file.WriteAt(records, s.size); err != nil {
		return nil, err
	}
	if err := s.file.Sync(); err != nil {
		return nil, err
	}
	s.size += int64(len(records))
	for i := range outcomes {
		numbers = append(numbers, s.add(outcomes[i], true))
	}
	return numbers, nil
}

// done takes out outcomes that are recorded. When none is left, the file is emptied; that need not be synced, because to record an
// outcome again changes nothing.
func (s *spool) done(numbers []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		delete(s.waiting, n)
	}
	if len(s.waiting) == 0 && s.size > int64(spoolHeader) && s.file.Truncate(int64(spoolHeader)) == nil {
		s.size = int64(spoolHeader)
	}
}

// disown leaves outcomes to the store.
func (s *spool) disown(numbers []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		s.waiting[n].owned = false
	}
}

// orphans gives the first outcomes that nobody has recorded but the store, in their order.
func (s *spool) orphans(limit int) (numbers []int64, outcomes []store.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, kept := range s.waiting {
		if !kept.owned {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	numbers = numbers[:min(len(numbers), limit)]
	for _, n := range numbers {
		outcomes = append(outcomes, s.waiting[n].outcome)
	}
	return numbers, outcomes
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}

// drain has the outcomes recorded that were left in the spool. What is refused was overtaken by what happened since.
func (s *Store) drain(ctx context.Context) {
	for s.spool != nil {
		numbers, outcomes := s.spool.orphans(settleRows)
		if len(numbers) == 0 || s.record(ctx, outcomes, make([]error, len(outcomes)), nil) != nil {
			return
		}
		s.spool.done(numbers)
	}
}

// spooling is what one call of Finish has in the spool.
type spooling struct {
	spool   *spool
	tried   bool
	numbers []int64
	err     error
}

// keep keeps those of the outcomes that are not refused, once.
func (k *spooling) keep(outcomes []store.Outcome, answers []error) {
	if k.spool == nil || k.tried {
		return
	}
	k.tried = true
	var valid []store.Outcome
	for i := range outcomes {
		if answers[i] == nil {
			valid = append(valid, outcomes[i])
		}
	}
	k.numbers, k.err = k.spool.keep(valid)
}

// end says how the call has ended.
func (k *spooling) end(err error) error {
	switch {
	case err == nil:
		if len(k.numbers) > 0 {
			k.spool.done(k.numbers)
		}
		return nil
	case k.err != nil:
		return &innerError{error: errors.Join(err, k.err), verdict: final}
	case len(k.numbers) > 0:
		k.spool.disown(k.numbers)
		return &innerError{error: fmt.Errorf("kept in the spool: %w", err), verdict: final}
	}
	return err
}

// castagnoli is the polynomial of the checksums, for which processors have an instruction.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
