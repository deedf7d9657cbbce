package assets

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"gocloud.dev/gcerrors"
)

// problem is an error of ours: what kind it is, and what is wrong in words for whoever asked for the move. What it came
// from is often an error of the system or of a driver, which names paths and addresses of the service: it is found by
// errors.Is and errors.As, and only the log shows its text.
type problem struct {
	kind   error
	detail string
	cause  error // may be nil
}

// failure makes a problem without a cause.
func failure(kind error, format string, args ...any) error {
	return &problem{kind: kind, detail: fmt.Sprintf(format, args...)}
}

// because makes a problem of the error of somebody else.
func because(cause, kind error, format string, args ...any) error {
	return &problem{kind: kind, detail: fmt.Sprintf(format, args...), cause: cause}
}

func (e *problem) Error() string {
	if e.cause == nil {
		return e.words()
	}
	return e.words() + " (" + e.cause.Error() + ")"
}

func (e *problem) words() string { return e.kind.Error() + ": " + e.detail }

// Unwrap gives the kind and the cause.
func (e *problem) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// moveError is what Move fails with. Its text is recorded with the task and shown to whoever may ask for the task, so it
// has fixed words for what went wrong and no text of the system, a driver or net/http.
type moveError struct {
	doing string
	err   error
}

func (e *moveError) Error() string {
	return scrub("assets: " + e.doing + ": " + strings.TrimPrefix(inWords(e.err), "assets: "))
}

func (e *moveError) Unwrap() error { return e.err }

// inWords says what went wrong without a path or address of the service.
func inWords(err error) string {
	if own, ok := errors.AsType[*problem](err); ok {
		return own.words()
	}
	if own, ok := errors.AsType[*scratchError](err); ok {
		return "temporary file: " + causeInWords(own.err)
	}
	if own, ok := errors.AsType[*AddressError](err); ok {
		return own.Host + " resolves to an address that is not allowed"
	}
	if own, ok := errors.AsType[*InputError](err); ok {
		return own.Error()
	}
	if own, ok := errors.AsType[*StatusError](err); ok {
		return own.Error()
	}
	for _, own := range []error{ErrStalled, ErrClosed, errSwapped} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return causeInWords(err)
}

// causeInWords does so for errors of others: from the most exact to the least.
func causeInWords(err error) string {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return nameInWords(name)
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number.Error() // such as "connection refused" or "no space left on device"
	}
	if answer, ok := errors.AsType[providerError](err); ok && http.StatusText(answer.HTTPStatusCode()) != "" {
		return fmt.Sprintf("the provider answered %d %s", answer.HTTPStatusCode(), http.StatusText(answer.HTTPStatusCode()))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate of the host is not trusted"
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection ended too early"
	}
	if words, ok := codeWords[gcerrors.Code(err)]; ok {
		return words
	}
	return "failed; the log of the service says why"
}

func nameInWords(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host"
	case err.IsTimeout:
		return "looking up the host timed out"
	default:
		return "looking up the host failed"
	}
}

// providerError is what errors of storage drivers for HTTP have in common.
type providerError interface {
	error
	HTTPStatusCode() int
}

// codeWords are for drivers that say no more than a class.
var codeWords = map[gcerrors.ErrorCode]string{
	gcerrors.NotFound:          "no such object or bucket",
	gcerrors.PermissionDenied:  "permission denied",
	gcerrors.InvalidArgument:   "the provider takes the request for invalid",
	gcerrors.ResourceExhausted: "the provider is out of room or asked too often",
}
