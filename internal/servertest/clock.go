package servertest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// clock is what a program takes for the time of day: the machine's, moved by an offset that may change while it runs.
type clock struct {
	library string // Debian's libfaketime, which stands between the program and the C library
	file    string // holds the offset
	lazy    bool   // it is read every other second, and not at each look
}

// newClock makes a clock that does not yet differ from the machine's.
func newClock(library, file string, lazy bool) (*clock, error) {
	c := &clock{library, file, lazy}
	return c, c.set(0)
}

// set moves the clock. The file is replaced as a whole: a program that reads half a number would jump elsewhere.
func (c *clock) set(offset time.Duration) error {
	next := c.file + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+.3f\n", offset.Seconds()), 0o644); err != nil {
		return fmt.Errorf("servertest: the clock: %w", err)
	}
	if err := os.Rename(next, c.file); err != nil {
		return fmt.Errorf("servertest: the clock: %w", err)
	}
	return nil
}

// env gives the environment of a program that shall go by this clock; none if there is no clock.
func (c *clock) env() []string {
	if c == nil {
		return nil
	}
	reading := "FAKETIME_NO_CACHE=1" // each look reads the file, which takes 14 µs; else a jump is seen 10 s later
	if c.lazy {
		reading = "FAKETIME_CACHE_DURATION=1"
	}
	return []string{
		"LD_PRELOAD=" + c.library,
		"FAKETIME_TIMESTAMP_FILE=" + c.file,
		reading,
		"FAKETIME_DONT_FAKE_MONOTONIC=1", // no machine's monotonic clock jumps with the time of day
		"NO_FAKE_STAT=1",                 // nor do the times of its files
	}
}

// findFaketime looks where Debian has the library. Its twin for programs with threads takes a lock, in signal handlers
// too, which PostgreSQL would not survive.
func findFaketime() (library string, ok bool) {
	for _, pattern := range []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0], true
		}
	}
	return "", false
}
