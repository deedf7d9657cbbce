package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// What callers branch on, besides the errors of actors and store, which travel: actors.ErrUnknownKind, *actors.FullError,
// *actors.ArgsError, actors.ErrStopping, actors.ErrNoStore, store.ErrNotFound, store.ErrUnavailable, *store.StateError, store.ErrCursorExpired and
// store.ErrCursorAhead mean on this side of the wire what they mean on the other. So do messages.ErrUnknownKind and messages.ErrSchemaVersion,
// by which an older listener refuses what only a newer one knows.
var (
	// ErrUnknownRunner says that no listener that was reached has a runner of this name.
	ErrUnknownRunner = errors.New("remote: no such runner")
	// ErrInvalid says that a field of a request has a value which it cannot have; the error text names it.
	ErrInvalid = errors.New("remote: invalid request")
	// ErrTooLate says that the deadline had passed before the task was accepted. It was not.
	ErrTooLate = fmt.Errorf("remote: the deadline had passed before the task was accepted: %w", context.DeadlineExceeded)
	// ErrNoConnection says that nobody could be reached for longer than DialConfig.Away. What was asked for may have been done if the
	// error is store.ErrUnavailable too; else it was not.
	ErrNoConnection = errors.New("remote: no connection")
	// ErrLost says that the program that had the task is gone, and that its runner records nothing.
	ErrLost = errors.New("remote: the task is lost: its runner recorded nothing, and its program has ended")
	// ErrClosed says that the client or the listener was closed.
	ErrClosed = errors.New("remote: closed")
	// ErrUnknownRequest says that the other side is older and does not know what it was asked for.
	ErrUnknownRequest = errors.New("remote: the listener does not know this request")
)

// wireCodes is what an error is on the wire, and back. The first that fits counts.
var wireCodes = []struct {
	is   error
	code remotepb.Code
}{
	{ErrUnknownRequest, remotepb.Code_CODE_UNKNOWN},
	{ErrNotAllowed, remotepb.Code_CODE_NOT_ALLOWED},
	{ErrUnauthenticated, remotepb.Code_CODE_UNAUTHENTICATED},
	{ErrUnknownRunner, remotepb.Code_CODE_NO_RUNNER},
	{ErrTooLate, remotepb.Code_CODE_TOO_LATE},
	{actors.ErrUnknownKind, remotepb.Code_CODE_NO_KIND},
	{actors.ErrNoStore, remotepb.Code_CODE_NO_STORE},
	{actors.ErrStopping, remotepb.Code_CODE_STOPPING},
	{store.ErrUnavailable, remotepb.Code_CODE_UNAVAILABLE},
	{store.ErrLocked, remotepb.Code_CODE_UNAVAILABLE},
	{store.ErrNotFound, remotepb.Code_CODE_NO_TASK},
	{actors.ErrFull, remotepb.Code_CODE_FULL},
	{store.ErrCursorExpired, remotepb.Code_CODE_CURSOR_EXPIRED},
	{store.ErrCursorAhead, remotepb.Code_CODE_CURSOR_AHEAD},
	{ErrInvalid, remotepb.Code_CODE_INVALID},
	{store.ErrInvalid, remotepb.Code_CODE_INVALID},
	{messages.ErrInvalid, remotepb.Code_CODE_INVALID},
	{messages.ErrTooLarge, remotepb.Code_CODE_INVALID},
	{messages.ErrUnknownKind, remotepb.Code_CODE_UNKNOWN_MESSAGE},
	{messages.ErrSchemaVersion, remotepb.Code_CODE_SCHEMA_VERSION},
}

// codeOf is what an error is on the wire.
func codeOf(err error) remotepb.Code {
	if _, ok := errors.AsType[*actors.ArgsError](err); ok {
		return remotepb.Code_CODE_INVALID_ARGS
	}
	if _, ok := errors.AsType[*store.StateError](err); ok {
		return remotepb.Code_CODE_ENDED
	}
	for _, c := range wireCodes {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return remotepb.Code_CODE_UNAVAILABLE // ours has ended before there was an answer
	}
	return remotepb.Code_CODE_OTHER
}

// maxText is how much of the text of an error travels.
const maxText = 4 << 10

// refused puts an error on the wire.
func refused(err error) *remotepb.Refused {
	r := &remotepb.Refused{Code: codeOf(err), Text: cut(publicText(err), maxText)}
	if full, ok := errors.AsType[*actors.FullError](err); ok {
		r.Limit, r.Max = full.Limit, int64(full.Max)
	}
	if state, ok := errors.AsType[*store.StateError](err); ok {
		r.State = string(state.From)
	}
	if args, ok := errors.AsType[*actors.ArgsError](err); ok {
		r.Text = cut(args.Err.Error(), maxText)
	}
	return r
}

// publicText is the text of an error for those outside. Where a database has its files, and what its server is called, is nothing for them: of
// its errors they get what package store says.
func publicText(err error) string {
	for inner := err; inner != nil; inner = firstOf(inner) {
		text := inner.Error()
		if !strings.Contains(text, "store/") {
			if inner == err || strings.HasPrefix(text, "store: ") { //nolint:errorlint // whether it is the very same
				return text
			}
			break
		}
	}
	return "remote: the listener's database has an error"
}

// firstOf gives what an error wraps; of several the first, which is the sentinel where there is one.
func firstOf(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if wrapped := several.Unwrap(); len(wrapped) > 0 {
			return wrapped[0]
		}
		return nil
	}
	return errors.Unwrap(err)
}

// travelled is an error that has come over the wire: it has the text of the one on the other side, and is what that was.
type travelled struct {
	text string
	is   error
}

func (e *travelled) Error() string { return e.text }
func (e *travelled) Unwrap() error { return e.is }

// reason takes an error from the wire.
func reason(r *remotepb.Refused, runner, taskID string) error {
	switch r.GetCode() {
	case remotepb.Code_CODE_FULL:
		return &actors.FullError{Runner: runner, Limit: r.GetLimit(), Max: int(r.GetMax())}
	case remotepb.Code_CODE_ENDED:
		return &store.StateError{TaskID: taskID, From: store.State(r.GetState()), To: store.Cancelled}
	}
	if r.GetCode() == remotepb.Code_CODE_INVALID_ARGS {
		return &actors.ArgsError{Err: &travelled{r.GetText(), ErrInvalid}} // of which kind, whoever has asked knows
	}
	for _, c := range wireCodes {
		if c.code == r.GetCode() {
			return &travelled{r.GetText(), c.is}
		}
	}
	if r.GetText() == "" {
		return fmt.Errorf("remote: refused without a text, code %s", r.GetCode())
	}
	return errors.New(r.GetText())
}

// knows reports whether this program has a meaning for the code. A newer listener may have more of them.
func knows(code remotepb.Code) bool {
	_, ok := statuses[code]
	return ok
}

// unknownRequest names what was asked for: a newer client has put it into a field which is none here.
func unknownRequest(r *frame) error {
	switch {
	case r.what == askHello:
		return fmt.Errorf("%w: a Hello that is not the first request", ErrInvalid)
	case r.unknown == 0:
		return fmt.Errorf("%w: it asks for nothing", ErrUnknownRequest)
	}
	return fmt.Errorf("%w: field %d of Request", ErrUnknownRequest, r.unknown)
}

// cut gives no more than so many bytes of a text, and whole characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xC0 == 0x80 { // in the middle of a character
		limit--
	}
	return text[:limit]
}
