package main

import (
	"context"
	"errors"
	"fmt"
)

// stack holds what was started, each with what stops it.
type stack struct{ steps []step }

type step struct {
	name string
	stop func(ctx context.Context) error
}

// push is called as soon as something is started, not when all is.
func (s *stack) push(name string, stop func(ctx context.Context) error) {
	s.steps = append(s.steps, step{name, stop})
}

// unwind stops everything, what was started last first. An error keeps nothing from being stopped. What was stopped is
// forgotten, so that a second call does nothing.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for len(s.steps) > 0 {
		last := s.steps[len(s.steps)-1]
		s.steps = s.steps[:len(s.steps)-1]
		if err := last.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}
