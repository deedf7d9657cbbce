package actors

import (
	"errors"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// From is who waits for the reply to a call. Reply answers it, once, from anywhere; it never fails, also when the caller is
// gone (GS-15).
type From = process.From

// NoReply is what HandleCall returns as error when the call is answered later, through its From (GS-15). Until then the caller waits,
// as long as the server lives and the caller's context lasts.
var NoReply error = &control{noReply: true}

// Stop is what a callback returns as error to end its server with the reason; nil is messages.Normal. The reply of a
// HandleCall is sent after Terminate (GS-16).
func Stop(reason error) error {
	if reason == nil {
		reason = messages.Normal
	}
	return &control{stop: reason}
}

// Continue is what a callback returns as error to have HandleContinue called with the argument, before any message that is
// queued (GS-22). A start does not wait for it (GS-23).
func Continue(argument any) error { return &control{continues: true, argument: argument} }

// Timeout is what a callback returns as error to have HandleInfo called with a messages.Timeout when no message comes for
// d. Any message ends that, and it happens once (GS-24). With zero it happens at once, unless a message is queued (GS-25). It
// may be joined with another: errors.Join(NoReply, Timeout(d)), or with a plain error that is the caller's. Beside a Continue it
// means nothing: what HandleContinue returns counts. It does not outlive its server.
func Timeout(d time.Duration) error { return &control{timed: true, timeout: max(d, 0)} }

// control is what a callback returns in place of an error.
type control struct {
	noReply   bool
	stop      error
	continues bool
	argument  any
	timed     bool
	timeout   time.Duration
}

func (c *control) Error() string {
	switch {
	case c.stop != nil:
		return "actors: stop: " + c.stop.Error()
	case c.continues:
		return "actors: continue"
	case c.timed:
		return "actors: timeout"
	default:
		return "actors: the reply comes later"
	}
}

// Unwrap gives the reason of a Stop.
func (c *control) Unwrap() error { return c.stop }

// maxLooks is how many errors nextOf looks at in what a callback returned. Nobody joins that many, but an error may wrap itself.
const maxLooks = 64

// nextOf takes what steers out of what a callback returned; what is left is an error. The methods of an error are not ours: one
// that cannot be looked into is just an error.
func nextOf(err error) (next control, failure error) {
	if err == nil {
		return next, nil
	}
	defer func() {
		if recover() != nil {
			failure = err
		}
	}()
	looks := maxLooks
	_, failure = next.take(err, &looks)
	return next, failure
}

// take says whether anything was taken out of the error, and what is left of it: where nothing was, it stays what it is.
func (c *control) take(err error, looks *int) (taken bool, rest error) {
	if *looks--; *looks < 0 {
		return false, err
	}
	switch e := err.(type) { //nolint:errorlint // this is what looks through the wrapping
	case *control:
		c.merge(e)
		return true, nil
	case interface{ Unwrap() []error }:
		return c.takeJoined(err, e.Unwrap(), looks)
	case interface{ Unwrap() error }:
		if taken, rest := c.take(e.Unwrap(), looks); taken {
			return true, rest
		}
	}
	return false, err
}

func (c *control) takeJoined(err error, parts []error, looks *int) (taken bool, rest error) {
	var left []error
	for _, part := range parts {
		took, part := c.take(part, looks)
		taken = taken || took
		if part != nil {
			left = append(left, part)
		}
	}
	switch {
	case !taken:
		return false, err
	case len(left) == 1:
		return true, left[0] // as if it had been returned alone
	default:
		return true, errors.Join(left...)
	}
}

func (c *control) merge(e *control) {
	c.noReply = c.noReply || e.noReply
	if e.stop != nil {
		c.stop = e.stop
	}
	if e.continues {
		c.continues, c.argument = true, e.argument
	}
	if e.timed {
		c.timed, c.timeout = true, e.timeout
	}
}
