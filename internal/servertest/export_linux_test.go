package servertest

// ChildrenOf gives the children of a process.
var ChildrenOf = childrenOf

// CPUTime is the processor time that a process has used.
var CPUTime = cpuTime

// ProcessState gives a process's state as the kernel has it (T: stopped, Z: dead), "" when there is no such process.
func ProcessState(pid int) string {
	state, _, err := processStat(pid)
	if err != nil {
		return ""
	}
	return state
}

// PID gives the process that was started last.
func (p *PostgresServer) PID() int { return p.cluster.server.cmd.Process.Pid }
