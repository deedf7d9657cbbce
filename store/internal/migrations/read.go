// Package migrations reads the steps of a store's schema.
package migrations

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Step is one step of a schema: up to a version, and down from it to the one before.
type Step struct {
	Version  int // they count from 1
	Name     string
	Up, Down string
}

// Read gives the steps whose SQL is in the folder migrations, as 0001_name.up.sql and 0001_name.down.sql, in the order of their
// versions, in which there is no gap.
func Read(files fs.FS) ([]Step, error) {
	ups, err := fs.Glob(files, "migrations/*.up.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(ups)) // Glob sorts, and the numbers have leading zeros
	for i, up := range ups {
		base := strings.TrimSuffix(up, ".up.sql")
		name := path.Base(base)
		number, _, _ := strings.Cut(name, "_")
		if version, err := strconv.Atoi(number); err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s is at place %d", name, i+1)
		}
		upText, err := fs.ReadFile(files, up)
		if err != nil {
			return nil, err
		}
		downText, err := fs.ReadFile(files, base+".down.sql")
		if err != nil {
			return nil, err
		}
		steps[i] = Step{Version: i + 1, Name: name, Up: string(upText), Down: string(downText)}
	}
	return steps, nil
}
