package messages

import "fmt"

// Target is whom a message is for: a [PID]; or a [Name] or a [Via], which mean whoever holds it at the moment of sending.
type Target interface {
	String() string
	isTarget()
}

// String gives the name itself.
func (n Name) String() string { return string(n) }

func (n Name) isTarget() {}
func (p PID) isTarget()  {}
func (v Via) isTarget()  {}

// Via is a name in a registry: the process that is registered there under the key (RG-02). The zero Via is no name.
type Via struct {
	Registry NameRegistry // that keeps the key; nil makes it no name
	Key      any          // of the type that the registry is for
}

// String gives registry and key.
func (v Via) String() string {
	if v.Registry == nil {
		return ""
	}
	return fmt.Sprintf("%s[%v]", v.Registry, v.Key)
}

// NameRegistry registers processes under keys. Its methods are called by many goroutines at once; what they do wrong harms
// only the process that is registered, or whoever looks for one. A PID of a dead process is nobody's.
type NameRegistry interface {
	// RegisterName registers a starting process, before its Init runs; an error makes the start fail.
	RegisterName(key any, pid PID) error
	// UnregisterName is called when the start of that process has failed, before the starter hears of it. Of the end of one
	// that has started the registry learns itself, by a monitor.
	UnregisterName(key any, pid PID)
	// WhereisName gives the process that has the key now.
	WhereisName(key any) (PID, bool)
	// String names the registry in logs.
	String() string
}
