package assets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// digests gives the sums of all files in a folder, by name. Links to files count as such.
func digests(dir string) (map[string]digest, error) {
	sums := map[string]digest{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), gatewayPrefix):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sums[name] = sha256.Sum256(content)
		return err
	})
	return sums, err
}

// gatewayPrefix begins the names of the folders in which versitygw keeps what is none of the objects of a bucket.
const gatewayPrefix = ".sgwtmp"

// compare reports what is not in a folder as it should be: missing, different, or too much.
func compare(want map[string]digest, dir string) error {
	got, err := digests(dir)
	if err != nil {
		return err
	}
	for name, sum := range want {
		switch found, ok := got[name]; {
		case !ok:
			return fmt.Errorf("%s has not arrived; %d of %d files are there", name, len(got), len(want))
		case found != sum:
			return fmt.Errorf("%s has arrived with another content", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s has arrived, which is none of the files", name)
		}
	}
	return nil
}

// recorded reports if not exactly so many tasks are recorded in a database, each as completed.
func recorded(ctx context.Context, path string, want int) (err error) {
	db, err := sqlite.Open(ctx, path, sqlite.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	counts, err := db.Counts(ctx, "")
	if err != nil {
		return err
	}
	for state, n := range counts {
		if n != 0 && state != store.Completed || state == store.Completed && int(n) != want {
			return fmt.Errorf("%d tasks are recorded as %s, want %d as %s and no others", n, state, want, store.Completed)
		}
	}
	if counts[store.Completed] == 0 {
		return errors.New("no task is recorded as completed")
	}
	return nil
}
