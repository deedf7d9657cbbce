package messages

// Target is whom a message is for: a [PID], or a [Name], which means whoever holds it at the moment of sending.
type Target interface {
	String() string
	isTarget()
}

// String gives the name itself.
func (n Name) String() string { return string(n) }

func (n Name) isTarget() {}
func (p PID) isTarget()  {}
