package remote

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// statuses is what an error is to those who have only a gRPC toolchain, and back.
var statuses = map[remotepb.Code]codes.Code{
	remotepb.Code_CODE_UNKNOWN:     codes.Unimplemented,
	remotepb.Code_CODE_INVALID:     codes.InvalidArgument,
	remotepb.Code_CODE_NOT_ALLOWED: codes.PermissionDenied,
	remotepb.Code_CODE_NO_RUNNER:   codes.NotFound,
	remotepb.Code_CODE_NO_KIND:     codes.NotFound,
	remotepb.Code_CODE_NO_TASK:     codes.NotFound,
	remotepb.Code_CODE_ENDED:       codes.FailedPrecondition,
	remotepb.Code_CODE_NO_STORE:    codes.FailedPrecondition,
	remotepb.Code_CODE_FULL:        codes.ResourceExhausted,
	remotepb.Code_CODE_STOPPING:    codes.Unavailable,
	remotepb.Code_CODE_UNAVAILABLE: codes.Unavailable,
	remotepb.Code_CODE_TOO_LATE:    codes.DeadlineExceeded,
	remotepb.Code_CODE_OTHER:       codes.Unknown,

	remotepb.Code_CODE_CURSOR_EXPIRED: codes.OutOfRange,
	remotepb.Code_CODE_CURSOR_AHEAD:   codes.OutOfRange,

	remotepb.Code_CODE_UNKNOWN_MESSAGE: codes.Unimplemented,
	remotepb.Code_CODE_SCHEMA_VERSION:  codes.Unimplemented,

	remotepb.Code_CODE_INVALID_ARGS:    codes.InvalidArgument,
	remotepb.Code_CODE_UNAUTHENTICATED: codes.Unauthenticated,
}

// statusOf is an error as gRPC has it, with our own reason behind it for those who know that.
func statusOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, cut(err.Error(), maxText))
	}
	if errors.Is(err, ErrClosed) {
		return status.Error(codes.Aborted, cut(err.Error(), maxText))
	}
	if known, ok := status.FromError(err); ok && codeOf(err) == remotepb.Code_CODE_OTHER { // of gRPC's own
		return known.Err()
	}
	return withReason(statuses[codeOf(err)], err).Err()
}

func withReason(code codes.Code, err error) *status.Status {
	plain := status.New(code, cut(publicText(err), maxText))
	detailed, failed := plain.WithDetails(refused(err))
	if failed != nil {
		return plain
	}
	return detailed
}

// ofStatus takes an error of a call of gRPC from the wire.
func ofStatus(err error, runner, taskID string) error {
	s, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	for _, detail := range s.Details() {
		if r, ok := detail.(*remotepb.Refused); ok && knows(r.GetCode()) {
			return reason(r, runner, taskID)
		}
	}
	switch s.Code() {
	case codes.Unauthenticated:
		return &travelled{s.Message(), ErrUnauthenticated}
	case codes.PermissionDenied:
		return &travelled{s.Message(), ErrNotAllowed}
	case codes.Unimplemented:
		return &travelled{s.Message(), ErrUnknownRequest}
	case codes.Unavailable:
		return &travelled{s.Message(), ErrNoConnection}
	}
	return err
}
