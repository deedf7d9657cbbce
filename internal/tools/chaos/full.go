package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// diskSize is how large the disk is that is filled.
const diskSize = 256 << 20

// fullRound leaves no room, and later makes some: on the disk, or by the store's own limit. While there is none, the process may be
// killed, so that another one starts on a full disk.
func fullRound(ctx context.Context, s *session) error {
	if s.rng.IntN(4) == 0 {
		return limitRound(ctx, s)
	}
	harness.Pause(ctx, s.some(time.Second))
	ballast := filepath.Join(filepath.Dir(s.places[0].Path), "ballast")
	defer func() { _ = os.Remove(ballast) }() // it is gone already, unless something fails
	if err := fill(ballast); err != nil {
		return err
	}
	s.notes.Add("disks filled", 1)
	harness.Pause(ctx, s.some(time.Second))
	if s.rng.IntN(2) == 0 {
		s.kill(0)
		if err := s.ensure(); err != nil {
			return err
		}
		harness.Pause(ctx, s.some(time.Second))
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	return s.goesOn(ctx)
}

// fill writes a file until there is no room.
func fill(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, zeros{})
	_ = file.Close() // what it could not write it has said
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("chaos: fill the disk: got %w, want that it is full", err)
	}
	return nil
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// limitRound starts the process anew with a limit that is soon reached, and later without.
func limitRound(ctx context.Context, s *session) error {
	s.kill(0)
	info, err := os.Stat(s.places[0].Path)
	if err != nil {
		return ignoreMissing(err)
	}
	s.places[0].MaxBytes = info.Size() + s.rng.Int64N(1<<20)
	if err := s.ensure(); err != nil {
		return err
	}
	harness.Pause(ctx, s.some(2*time.Second))
	s.notes.Add("limits set", 1)
	s.kill(0)
	s.places[0].MaxBytes = 0
	if err := s.ensure(); err != nil {
		return err
	}
	return s.goesOn(ctx)
}

// goesOn returns when tasks are accepted and end again.
func (s *session) goesOn(ctx context.Context) error {
	s.mark() // what died could not run again before
	accepted, ended := s.count.accepted.Load(), s.count.outcomes.Load()
	return s.await(ctx, "work to go on", 20*time.Second, func() bool {
		return s.count.accepted.Load() > accepted+10 && s.count.outcomes.Load() > ended+10
	})
}
