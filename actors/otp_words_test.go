package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

func otpMilliseconds(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("scenarios.txt: %q is no number", text))
	}
	return time.Duration(n) * time.Millisecond
}

// otpReason gives a word of a scenario as a reason.
func otpReason(word string) error {
	if value, ok := strings.CutPrefix(word, "shutdown:"); ok {
		return &messages.ShutdownWith{Value: value}
	}
	switch word {
	case "normal":
		return messages.Normal
	case "shutdown":
		return messages.Shutdown
	}
	return errBoom
}

// otpShow gives a reason, or another error, in the words of the traces.
func otpShow(err error) string {
	if panicked, ok := errors.AsType[*messages.PanicError](err); ok {
		return otpPrefix(err) + fmt.Sprint("raise ", panicked.Value)
	}
	if with, ok := errors.AsType[*messages.ShutdownWith](err); ok {
		return fmt.Sprint("shutdown:", with.Value)
	}
	for _, known := range []struct {
		err  error
		word string
	}{
		{errBoom, "boom"},
		{messages.Normal, "normal"},
		{messages.Shutdown, "shutdown"},
		{messages.Killed, "killed"},
		{messages.NoProc, "noproc"},
		{actors.ErrCallingSelf, "calling_self"},
		{context.DeadlineExceeded, "timeout"},
		{supervisor.ErrAlreadyStarted, "already_started"},
		{supervisor.ErrAlreadyPresent, "already_present"},
		{supervisor.ErrMaxChildren, "max_children"},
		{supervisor.ErrNotFound, "not_found"},
		{supervisor.ErrRunning, "running"},
		{supervisor.ErrRestarting, "restarting"},
	} {
		if errors.Is(err, known.err) {
			return otpPrefix(err) + known.word
		}
	}
	if strings.HasPrefix(err.Error(), "supervisor: ") {
		return "refused" // by the validation of a config or a spec
	}
	return "unknown: " + err.Error()
}

// otpPrefix says which child did not start.
func otpPrefix(err error) string {
	if failed, ok := errors.AsType[*supervisor.StartError](err); ok {
		return "failed_to_start_child " + failed.ID + " " + otpPrefix(failed.Err)
	}
	return ""
}
