package supervisor

import (
	"fmt"

	"github.com/taskrunner-go/taskrunner/internal/process"
)

// describe names the callback for a message, in the words of a GenServer, and takes a request out of the type that it travels
// in. Requests are unexported, so that each prints as the method that has sent it.
func describe(message any) (callback string, sent any) {
	if r, ok := message.(*process.Request); ok {
		return "HandleCall", r.Message
	}
	return "HandleInfo", message
}

// Describe is for those who look at the process; of a partition supervisor too.
func (s *static) Describe(message any) (callback string, sent any) { return describe(message) }

// Describe is for those who look at the process.
func (d *dynamic) Describe(message any) (callback string, sent any) { return describe(message) }

func (m startChild) String() string {
	if m.spec.ID == "" { // a dynamic supervisor's needs none
		return "StartChild"
	}
	return fmt.Sprintf("StartChild %q", m.spec.ID)
}
func (m terminateID) String() string    { return fmt.Sprintf("TerminateChild %q", m.id) }
func (m terminateChild) String() string { return "TerminateChild " + m.pid.String() }
func (m restartID) String() string      { return fmt.Sprintf("RestartChild %q", m.id) }
func (m deleteID) String() string       { return fmt.Sprintf("DeleteChild %q", m.id) }
func (m specOf) String() string         { return fmt.Sprintf("ChildSpec %q", m.id) }
func (whichChildren) String() string    { return "WhichChildren" }
func (countChildren) String() string    { return "CountChildren" }
func (m resize) String() string         { return fmt.Sprintf("Resize to %d", m.to) }

func (m startAgain) String() string { return fmt.Sprintf("start %q again", m.id) }
func (m tryRestart) String() string { return "start " + m.pid.String() + " again" }
func (m killChild) String() string  { return "kill " + m.pid.String() }
