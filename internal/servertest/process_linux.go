package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// signalPoll is the time between two looks whether a signal has had its effect, which takes some microseconds.
const signalPoll = time.Millisecond

// dieWithUs has the kernel send the signal to the program when the thread ends that started it.
func dieWithUs(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = signal
}

// runAs makes the program run as owner; nil is ourselves.
func runAs(cmd *exec.Cmd, owner *account) {
	if owner == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.uid, Gid: owner.gid}
}

// freeze stops a process by SIGSTOP and gives its children and, last, itself. Who is stopped starts no child, so none
// is missing. The children go on.
func freeze(pid int) (family []int, err error) {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("servertest: stopping process %d: %w", pid, err)
	}
	if err := awaitFrozen(pid); err != nil {
		return nil, err
	}
	family, err = childrenOf(pid)
	return append(family, pid), err
}

// freezeAll stops a process and its children by SIGSTOP, and returns when all stand still. What it gives lets them go
// on; it is never nil.
func freezeAll(pid int) (thaw func(), err error) {
	family, err := freeze(pid)
	thaw = func() { signalAll(family, syscall.SIGCONT) }
	if err != nil {
		return thaw, err
	}
	signalAll(family, syscall.SIGSTOP)
	for _, member := range family {
		if err := awaitFrozen(member); err != nil && !errors.Is(err, errGone) { // a child may end of its own accord
			return thaw, err
		}
	}
	dismiss, err := guardFrozen(family)
	return func() { signalAll(family, syscall.SIGCONT); dismiss() }, err
}

// guardFrozen starts a shell that lets the processes go on should we die, and gives what ends it. Who stands still does
// not die of the signal that our end sends, so a killed test would leave them behind for ever. The shell learns of our
// end by the end of its input, and is not of our process group, so that Ctrl-C does not reach it.
func guardFrozen(family []int) (dismiss func(), err error) {
	args := []string{"-c", `read -r _ || kill -CONT "$@"`, "guard"}
	for _, pid := range family {
		args = append(args, strconv.Itoa(pid))
	}
	guard := exec.CommandContext(context.Background(), "/bin/sh", args...)
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := guard.StdinPipe()
	if err == nil {
		err = guard.Start()
	}
	if err != nil {
		return func() {}, fmt.Errorf("servertest: the guard of a paused server: %w", err)
	}
	return func() {
		_, _ = io.WriteString(input, "\n")
		_ = guard.Wait()
	}, nil
}

// killAll kills a process and its children by SIGKILL, and returns when they have ended. None of them sees another die.
func killAll(pid int) error {
	family, err := freeze(pid)
	if err != nil {
		return err
	}
	signalAll(family, syscall.SIGKILL)
	for _, member := range family {
		if err := awaitEnd(member); err != nil {
			return err
		}
	}
	return nil
}

// signalAll sends a signal to processes of which some may have ended.
func signalAll(pids []int, signal syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal)
	}
}

// errGone says that a process has ended.
var errGone = errors.New("servertest: the process has ended")

// awaitFrozen returns when SIGSTOP has had its effect on a process.
func awaitFrozen(pid int) error {
	switch state := awaitState(pid, "T"+ended); {
	case state == "T":
		return nil
	case strings.Contains(ended, state):
		return fmt.Errorf("%w: %d", errGone, pid)
	default:
		return fmt.Errorf("servertest: process %d does not stop within %s: it is in state %s", pid, stopTimeout, state)
	}
}

// awaitEnd returns when SIGKILL has had its effect on a process.
func awaitEnd(pid int) error {
	if state := awaitState(pid, ended); !strings.Contains(ended, state) {
		return fmt.Errorf("servertest: process %d does not end within %s: it is in state %s", pid, stopTimeout, state)
	}
	return nil
}

// ended are the states of a process that does nothing any more, whether or not its parent knows. So is "", no process.
const ended = "ZX"

// awaitState looks at a process until it is in one of the states, or gone, for stopTimeout, and gives its state then.
func awaitState(pid int, states string) (state string) {
	tick := time.NewTicker(signalPoll)
	defer tick.Stop()
	for end := time.Now().Add(stopTimeout); time.Now().Before(end); <-tick.C {
		state, _, _ = processStat(pid) // an error is the end of the process
		if strings.Contains(states, state) {
			break
		}
	}
	return state
}

// childrenOf looks through all processes, for the kernel keeps no list of children that it shows on every machine.
// Unlike a process's folder or environment, its parent may be read by everyone.
func childrenOf(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("servertest: looking for processes: %w", err)
	}
	var children []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		if _, ppid, err := processStat(pid); err == nil && ppid == parent {
			children = append(children, pid)
		}
	}
	return children, nil
}

// clockTick is the unit of the times in /proc, which is the same on all machines that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the processor time, its own and the kernel's on its behalf, that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	const user, system = 11, 12
	own, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("servertest: the user time of process %d: %w", pid, err)
	}
	kernels, err := strconv.ParseInt(fields[system], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("servertest: the system time of process %d: %w", pid, err)
	}
	return time.Duration(own+kernels) * clockTick, nil
}

// processStat gives the state of a process (R, S, T, Z, …) and its parent.
func processStat(pid int) (state string, parent int, err error) {
	fields, err := statFields(pid)
	if err != nil {
		return "", 0, err
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err
}

// statFields gives what the kernel says of a process, from its state on.
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	// pid (name) state parent …, and the name may hold blanks and parentheses
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const least = 13
	if len(fields) < least {
		return nil, fmt.Errorf("servertest: process %d has the stat %q", pid, text)
	}
	return fields, nil
}
