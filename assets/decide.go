package assets

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/taskrunner-go/taskrunner/messages"
)

// decide says what becomes of a task whose move failed with err: what the world has to change for ends it, what time
// may heal is tried again. An error that comes from the end of the task's own context is no decision of ours.
func decide(ctx context.Context, err error) error {
	status, answered := errors.AsType[*StatusError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, ErrBusy):
		return &messages.Decision{Verb: messages.VerbSnooze, After: snooze(), Err: err}
	case answered && retryableStatus(status.Status):
		return messages.RetryAfter(status.RetryAfter, err)
	case hopeless(err):
		return messages.Discard(err)
	default:
		return messages.Retry(err)
	}
}

// retryableStatus lists the answers that ask for another try.
func retryableStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// hopeless reports whether trying again would end the same way. Everything unknown is hopeful: connections that were
// refused or reset, names that were not found (resolvers say so too during an outage), time-outs, stalls, short
// bodies, wrong checksums, a full disk. The number of attempts limits those.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*scratchError](err); ok {
		return false // "no such file" about our own file, not about the asset
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return !retryableStatus(status.Status)
	}
	for _, sentinel := range []error{
		ErrInvalid, ErrNotAllowed, ErrTooLarge, ErrNotAFile, ErrIndex,
		fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EROFS,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument:
		return true
	}
	return false
}
