package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
)

// What the program ends with. Scripts depend on them: a number keeps its meaning for ever. Signals add 128 to theirs.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDatabase = 3
	exitAddress  = 4
	exitOther    = 5

	exitRefused      = 6
	exitNoConnection = 7
	exitLate         = 8
)

// exitHelp is the same table for people; it stands in the help of each command.
const exitHelp = `Exit codes:
  0    done
  1    some assets did not arrive (each is named with its reason), or FROM cannot be listed; of demo send: the task failed
  2    wrong usage
  3    the database cannot be used: locked, read-only, damaged, from a newer version, another program's, out of reach, or full
  4    the address cannot be listened on
  5    anything else
  6    a worker refused it: it does not know the caller, the runner, the kind or the task, is full, or stops
  7    no connection to a worker, or no answer from it
  8    demo send: not done within --timeout
  130  ended by Ctrl-C before it was done (143: by SIGTERM, 129: by SIGHUP)`

// failure is an error with the code that the program ends with. What comes back from the flags library without one is a
// mistake in the usage.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failf makes a failure, as fmt.Errorf does an error.
func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// silent is a failure of which everything has been said.
var errSilent = errors.New("")

// codeOf says what the program ends with. A signal outweighs what failed because of it.
func codeOf(err error) int {
	var failed *failure
	var signalled *signalError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &signalled):
		return signalled.code()
	case errors.As(err, &failed):
		return failed.code
	case databaseTrouble(err) != "":
		return exitDatabase
	default:
		return exitUsage
	}
}

// report says on one line what went wrong, and gives the code.
func report(stderr io.Writer, err error) int {
	code := codeOf(err)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(stderr, "demo: "+oneLine(withoutPackage(err.Error())))
	}
	if code == exitUsage {
		_, _ = fmt.Fprintln(stderr, "demo -h, and -h behind each command, says how it is used")
	}
	return code
}

// withoutPackage takes the name of the package from the front of an error: it tells nothing to who uses the program.
func withoutPackage(text string) string {
	for _, name := range []string{"assets: ", "remote: ", "actors: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// oneLine joins the lines of an error; drivers indent them behind a colon.
func oneLine(text string) string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(text)
}

// other marks an error that is not the caller's mistake. One that has a code already, or is a signal, keeps its own.
func other(err error) error {
	var failed *failure
	var signalled *signalError
	if err == nil || errors.As(err, &failed) || errors.As(err, &signalled) {
		return err
	}
	if databaseTrouble(err) != "" {
		return &failure{exitDatabase, err}
	}
	return &failure{exitOther, err}
}

// databaseTrouble says what is wrong with a database, and what to do, in words that fit behind its path; "" if err is
// about something else. Of a server it gives the reason too: what to look at is in it alone.
func databaseTrouble(err error) string {
	if trouble := flagTrouble(err); trouble != "" {
		return trouble
	}
	for _, row := range []struct {
		is     error
		says   string
		reason bool
	}{
		{store.ErrLocked, "is in use by another process: stop that one, or give another one with --store", false},
		{store.ErrReadOnly, "cannot be written to: give another one with --store, or the right to write", false},
		{store.ErrCorrupt, "is damaged, or no database of this program: give another one with --store, or restore it", false},
		{store.ErrNewerVersion, "was written by a newer version of this program: use that one, or give another one with --store", false},
		{store.ErrSchema, "is another program's, or was changed by hand: give another one with --store, or restore it", true},
		{store.ErrDenied, "does not let this program in: look at the user, the password and the rights", true},
		{store.ErrUnavailable, "cannot be reached: look whether it runs, and at the host and port", true},
		{store.ErrFull, "has no room, the disk is full: make some, or give another one with --store; nothing that was recorded is lost", false},
	} {
		if !errors.Is(err, row.is) {
			continue
		}
		if _, reason, found := strings.Cut(err.Error(), row.is.Error()+": "); found && row.reason {
			return fmt.Sprintf("%s (%s)", row.says, reason)
		}
		return row.says
	}
	return ""
}

// flagTrouble is for an error that names a field of the store's configuration for which there is a flag: what it says is about
// that, whatever else it may be.
func flagTrouble(err error) string {
	for _, of := range []struct{ field, flag string }{
		{"Config.Spool", "--spool"},
		{"Config.TransactionPooling", "--pooler (demo serve has it)"},
	} {
		if text := err.Error(); strings.Contains(text, of.field) {
			text = strings.TrimPrefix(text, "store/postgres: ")
			return "cannot be used: " + strings.ReplaceAll(text, of.field, of.flag)
		}
	}
	return ""
}
