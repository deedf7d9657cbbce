package assets_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	path := func(err error) error { return &fs.PathError{Op: "open", Path: "x", Err: err} }
	for _, c := range []struct {
		err  error
		verb messages.Verb
	}{
		{assets.ErrInvalid, messages.VerbDiscard},
		{assets.ErrNotAllowed, messages.VerbDiscard},
		{&assets.AddressError{}, messages.VerbDiscard},
		{&assets.InputError{Kind: assets.ErrInvalid}, messages.VerbDiscard},
		{assets.ErrTooLarge, messages.VerbDiscard},
		{assets.ErrNotAFile, messages.VerbDiscard},
		{path(syscall.ENOENT), messages.VerbDiscard},
		{path(syscall.EACCES), messages.VerbDiscard},
		{path(syscall.EPERM), messages.VerbDiscard},
		{path(syscall.EROFS), messages.VerbDiscard},
		{path(syscall.ENAMETOOLONG), messages.VerbDiscard},
		{&assets.StatusError{Status: 404}, messages.VerbDiscard},
		{fmt.Errorf("wrapped: %w", &assets.StatusError{Status: 403}), messages.VerbDiscard},
		{&assets.StatusError{Status: 599}, messages.VerbRetry},
		{path(syscall.ENOSPC), messages.VerbRetry},
		{path(syscall.EDQUOT), messages.VerbRetry},
		{path(syscall.EIO), messages.VerbRetry},
		{path(syscall.EMFILE), messages.VerbRetry},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, messages.VerbRetry},
		{&net.DNSError{IsTemporary: true}, messages.VerbRetry},
		{&net.DNSError{IsNotFound: true}, messages.VerbRetry},
		{os.ErrDeadlineExceeded, messages.VerbRetry},
		{context.DeadlineExceeded, messages.VerbRetry}, // somebody else's deadline
		{assets.ErrShortBody, messages.VerbRetry},
		{assets.ErrChecksum, messages.VerbRetry},
		{assets.ErrStalled, messages.VerbRetry},
		{errors.New("whatever"), messages.VerbRetry},
	} {
		var d *messages.Decision
		if err := assets.Decide(t.Context(), c.err); !errors.As(err, &d) || d.Verb != c.verb || !errors.Is(err, c.err) {
			t.Errorf("%v: %v, want it to %s", c.err, err, c.verb)
		}
	}
	if err := assets.Decide(t.Context(), nil); err != nil {
		t.Errorf("no error: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := assets.Decide(ended, assets.ErrInvalid); err != assets.ErrInvalid {
		t.Errorf("after the end of the task: %v, want no decision", err)
	}
	var d *messages.Decision
	if err := assets.Decide(t.Context(), &assets.StatusError{Status: 503, RetryAfter: time.Minute}); !errors.As(err, &d) || d.After != time.Minute {
		t.Errorf("with Retry-After: %+v", d)
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ //nolint:gosec // credentials are what this is about; these are none
		`Get "https://user:pa:ss@host/a?X-Amz-Signature=abc&x=1": EOF`:  `Get "https://host/a?…": EOF`,
		`https://token@host/a → s3://bucket/b`:                          `https://host/a → s3://bucket/b`,
		`PUT http://h/k?x-id=PutObject&sig=s: dial tcp 1.2.3.4:80`:      `PUT http://h/k?… dial tcp 1.2.3.4:80`,
		`https://cdn.example.com/@mdi/a.svg is fine, so is a@b.example`: `https://cdn.example.com/@mdi/a.svg is fine, so is a@b.example`,
		`what? nothing`: `what? nothing`,
	} {
		if got := assets.Scrub(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for _, value := range []string{
		"http://user:se/cret@host/a", "http://user:se?cret@host/a", "http://user:se#cret@host/", "//user:secret@host", "user:secret@host/a",
		"http://user:se cret@host/%zz", "s3://key:secret@bucket/x?secret=secret",
	} {
		if got := assets.Quoted(value); strings.Contains(got, "cret") || strings.Contains(got, "user:") {
			t.Errorf("%q is shown as %s", value, got)
		}
	}
	if got := assets.Quoted(strings.Repeat("ü", 10_000)); len(got) > 1000 {
		t.Errorf("a long value is shown in %d bytes", len(got))
	}
	for _, filler := range []int{100, 5_000, 100_000} {
		if got := assets.Quoted("http://user:" + strings.Repeat("secret", filler) + "@host/a"); got != `"http://host/a"` && !strings.Contains(got, " bytes)") ||
			strings.Contains(got, "cret") || strings.Contains(got, "user") {
			t.Errorf("a long password is shown as %s", got)
		}
	}
}

// A caller can send as much as a request may have, and an error about it costs no more than reading it.
func TestQuotedLooksAtTheBeginningOnly(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("a.", 31_000_000)
	start := time.Now()
	if got := assets.Quoted(value); len(got) > 1000 || !strings.Contains(got, "62000000 bytes") {
		t.Errorf("shown as %.200s", got)
	}
	// The two patterns alone took 10 s for it, and much longer with the race detector.
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
