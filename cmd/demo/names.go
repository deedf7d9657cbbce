package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"strings"
)

const (
	// maxName is how long a line of a list may be, with its end.
	maxName = 64 << 10
	// maxShown is how much is shown of one that is longer.
	maxShown = 60
)

// namesFrom gives the names in a list: one a line, relative to FROM, as they are (not percent-encoded), with slashes.
// Empty lines, a leading ./ and a byte order mark are left out, so that find and editors write such lists. An error with a
// name is about that line; one without is the last.
func namesFrom(list io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lines := bufio.NewReaderSize(list, maxName)
		for number := 1; ; number++ {
			line, err := lines.ReadSlice('\n')
			tooLong := errors.Is(err, bufio.ErrBufferFull)
			name := nameOnLine(line, number)
			switch {
			case tooLong:
				shown := name[:min(len(name), maxShown)] + "…"
				if !yield(shown, fmt.Errorf("line %d of the list is longer than %d bytes", number, maxName)) {
					return
				}
			case name != "" && !yield(name, nil):
				return
			}
			for errors.Is(err, bufio.ErrBufferFull) { // the rest of that line
				_, err = lines.ReadSlice('\n')
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield("", err)
				}
				return
			}
		}
	}
}

// nameOnLine takes from a line what is not part of the name.
func nameOnLine(line []byte, number int) string {
	name := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	if number == 1 {
		name = strings.TrimPrefix(name, "\ufeff")
	}
	return strings.TrimPrefix(name, "./")
}

// nameBelow is what an asset is called below base, as a list has it: not percent-encoded.
func nameBelow(base, source string) string {
	name := strings.TrimPrefix(source, base)
	if decoded, err := url.PathUnescape(name); err == nil {
		return decoded
	}
	return name
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
