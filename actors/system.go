package actors

import (
	"github.com/taskrunner-go/taskrunner/internal/process"
)

// System is where processes live. One is enough for a program. Stop stops all that runs in it.
type System = process.System

// SystemConfig configures a System. Its zero value works.
type SystemConfig = process.Config

// NameTakenError says that a process of this name is running already.
type NameTakenError = process.NameTakenError

// What callers branch on.
var (
	// ErrSystemStopped says that the system is stopping or has stopped.
	ErrSystemStopped = process.ErrStopped
	// ErrCallingSelf says that a process called or stopped itself, which would wait for ever (GS-14).
	ErrCallingSelf = process.ErrCallingSelf
)

// NewSystem starts a system.
func NewSystem(config SystemConfig) *System { return process.NewSystem(config) }
