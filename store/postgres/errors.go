package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskrunner-go/taskrunner/store"
)

// fault makes of what went wrong an error that says what was being done, and that is the sentinel which callers branch on.
func fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	if needsPooling(err) {
		err = fmt.Errorf("%w: a pooler such as PgBouncer needs Config.TransactionPooling, and no settings in the URL", err)
	}
	if sentinel := sentinelOf(err); sentinel != nil && !errors.Is(err, sentinel) {
		return fmt.Errorf("store/postgres: %s: %w: %w", doing, sentinel, err)
	}
	return fmt.Errorf("store/postgres: %s: %w", doing, err)
}

// needsPooling reports whether this is what a pooler makes of a store that does not know of it: it refuses the settings of our sessions;
// or it gives each transaction another session, where a statement of ours is prepared already, or is not.
func needsPooling(err error) bool {
	said, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	return said.Code == "42P05" || said.Code == "26000" || said.Code == "08P01" && strings.HasPrefix(said.Message, "unsupported startup parameter")
}

// sentinels is the table from the server's error codes, or their first two characters, to what the store says.
func sentinels(code string) error {
	switch code {
	case "28000", "28P01", "42501":
		return store.ErrDenied
	case "25006": // a standby, or default_transaction_read_only
		return store.ErrReadOnly
	case "53100":
		return store.ErrFull
	case "XX001", "XX002":
		return store.ErrCorrupt
	case "3F000", "42P01", "42703", "42883", "42804", "23502": // no such schema, table, column, function; other types; a column of somebody's own
		return store.ErrSchema
	case "53300", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04": // too many connections; stopping, crashed, starting; an end by a timeout
		return store.ErrUnavailable
	}
	if len(code) == 5 && code[:2] == "08" { // the connection; PgBouncer says so of a server that is away
		return store.ErrUnavailable
	}
	return nil
}

// sentinelOf is the sentinel of what went wrong, or nil: then it is for a person to read, or holds its sentinel already.
func sentinelOf(err error) error {
	if code := codeOf(err); code != "" {
		return sentinels(code)
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return store.ErrFull
	case errors.Is(err, fs.ErrPermission) && !isConnecting(err):
		return store.ErrReadOnly
	case isOurs(err), errors.Is(err, context.Canceled):
		return nil
	}
	return store.ErrUnavailable // all else that may happen is the connection's
}

func isConnecting(err error) bool {
	var connecting *pgconn.ConnectError
	return errors.As(err, &connecting)
}

// codeOf is the server's error code, or empty if it was not the server who spoke.
func codeOf(err error) string {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return said.Code
	}
	return ""
}

// isOurs reports whether the error was made here, or by package store, and not on the way to the server.
func isOurs(err error) bool {
	var refused *store.StateError
	var inner *innerError
	for _, own := range [...]error{
		store.ErrNotFound, store.ErrFenced, store.ErrCancelled, store.ErrCursorExpired, store.ErrCursorAhead, store.ErrSubscribers,
		store.ErrSchema, store.ErrClosed, store.ErrInvalid, store.ErrCorrupt, store.ErrDenied, store.ErrNewerVersion, store.ErrLocked,
		store.ErrFull, store.ErrReadOnly,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	return errors.As(err, &refused) || errors.As(err, &inner)
}

// innerError is one of ours that says what is to be done about it.
type innerError struct {
	error

	verdict verdict
	reason  error // why the server was not there, if that is what it says
}

func (e *innerError) Unwrap() error { return e.error }

// errDecode is what a row is that is not as we have written it.
var errDecode = fmt.Errorf("%w: a row cannot be read", store.ErrCorrupt)

// verdict says what is to be done about an error.
type verdict int

const (
	final  verdict = iota // it is the answer
	again                 // the server asks for the same once more
	absent                // the server is away, or the connection is
)

// judge is the table of what to do. What has not failed is done.
func judge(err error) verdict {
	if err == nil {
		return final
	}
	if inner, ok := errors.AsType[*innerError](err); ok {
		return inner.verdict
	}
	switch codeOf(err) {
	case "40001", "40P01", "55P03": // in the way of another transaction
		return again
	case "26000", "0A000": // the prepared statement is gone, or older than the tables: the next connection prepares anew
		return again
	}
	if errors.Is(sentinelOf(err), store.ErrUnavailable) {
		return absent
	}
	return final
}

// absence gives errors that say that the server is away, and nil for others.
func absence(err error) error {
	if judge(err) == absent {
		return err
	}
	return nil
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &innerError{error: cause(ctx), verdict: final}
}

// away is the error of a call whose context has ended while the server was away. The reason is what was in the way last.
func away(ctx context.Context, reason error) error {
	return &innerError{error: fmt.Errorf("%w: %w: %w", store.ErrUnavailable, cause(ctx), reason), verdict: final, reason: reason}
}

// reasonIn is that of an error of away; nil if it is none.
func reasonIn(err error) error {
	if inner, ok := errors.AsType[*innerError](err); ok {
		return inner.reason
	}
	return nil
}

// cause is both why the context has ended and that it has: callers ask for either.
func cause(ctx context.Context) error {
	if why := context.Cause(ctx); !errors.Is(why, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), why)
	}
	return context.Cause(ctx)
}
