package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// maxSleep is how long a task of the kind sleep may take: somebody's slip is not to keep a place for days.
const maxSleep = time.Hour

// tryKinds are for who wants to see how a task is run elsewhere: they need nothing, and end in each of the ways there are.
func tryKinds() actors.Kinds {
	return actors.Kinds{
		actors.Kind("shout", shout),
		actors.Kind("sleep", sleep, actors.WithCheck(checkSleep)),
		actors.Kind("fail", fail),
	}
}

// shout gives a text in capitals.
func shout(_ context.Context, text string) (string, error) { return strings.ToUpper(text), nil }

// sleep takes as long as it is told, as in "2s".
func sleep(ctx context.Context, text string) (string, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return "", messages.Discard(err)
	}
	if !wait(ctx, d) {
		return "", context.Cause(ctx)
	}
	return "slept for " + d.String(), nil
}

// checkSleep refuses what cannot be slept before it is accepted.
func checkSleep(text string) error {
	if d, err := time.ParseDuration(text); err != nil || d < 0 || d > maxSleep {
		return fmt.Errorf("sleep is for %q, want a duration such as \"2s\", up to %s", text, maxSleep)
	}
	return nil
}

// fail fails for good, with the text that it is given.
func fail(_ context.Context, text string) (string, error) {
	return "", messages.Discard(errors.New(text))
}
