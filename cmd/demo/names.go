package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// maxName is how long a line of a list may be.
const maxName = 64 << 10

// namesFrom gives the names in a list: one a line, relative to FROM, as they are (not percent-encoded), with slashes.
// Empty lines and a leading ./ are left out, so that find writes such lists. An error is the last.
func namesFrom(list io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lines := bufio.NewScanner(list)
		lines.Buffer(nil, maxName)
		number := 0
		for lines.Scan() {
			number++
			name := strings.TrimPrefix(strings.TrimSuffix(lines.Text(), "\r"), "./")
			if name != "" && !yield(name, nil) {
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("line %d is longer than %d bytes", number+1, maxName)
		}
		if err != nil {
			yield("", err)
		}
	}
}

// openList opens the list that --list names; - is the standard input.
func openList(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(path) //nolint:gosec // G304: whoever starts the program chooses the file
	if err != nil {
		return nil, failf(exitUsage, "--list %s cannot be read: %w", path, errors.Unwrap(err))
	}
	return file, nil
}

// detached reads a sequence in a goroutine of its own, and ends with ctx without waiting for it: what reads from a
// terminal or a pipe cannot be broken off, and ends with the process.
func detached(ctx context.Context, names iter.Seq2[string, error]) iter.Seq2[string, error] {
	type item struct {
		name string
		err  error
	}
	items := make(chan item)
	go func() {
		defer close(items)
		for name, err := range names {
			select {
			case items <- item{name, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(yield func(string, error) bool) {
		for {
			select {
			case i, more := <-items:
				if !more || !yield(i.name, i.err) {
					return
				}
			case <-ctx.Done():
				yield("", context.Cause(ctx))
				return
			}
		}
	}
}
