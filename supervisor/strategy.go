package supervisor

import "fmt"

// Strategy says whom the end of one child concerns.
type Strategy int

// The strategies. There is no default: whoever puts children under one supervisor says whether they depend on each other
// (SV-03).
const (
	// OneForOne starts only the child that ended again (SV-11).
	OneForOne Strategy = iota + 1
	// OneForAll stops all the others, newest first, and starts all in their order (SV-12).
	OneForAll
	// RestForOne stops those that were started after it, newest first, and starts it and them in their order (SV-13).
	RestForOne
)

func (s Strategy) String() string {
	switch s {
	case OneForOne:
		return "one_for_one"
	case OneForAll:
		return "one_for_all"
	case RestForOne:
		return "rest_for_one"
	}
	return fmt.Sprintf("Strategy(%d)", int(s))
}

func (s Strategy) valid() bool { return s >= OneForOne && s <= RestForOne }

// AutoShutdown says whether a supervisor ends by itself when significant children have (SV-35).
type AutoShutdown int

const (
	// Never is the default: a supervisor lives without children too.
	Never AutoShutdown = iota
	// AnySignificant ends the supervisor when one significant child has ended by itself and is not started again.
	AnySignificant
	// AllSignificant ends it when the last running one has.
	AllSignificant
)

func (a AutoShutdown) String() string {
	switch a {
	case Never:
		return "never"
	case AnySignificant:
		return "any_significant"
	case AllSignificant:
		return "all_significant"
	}
	return fmt.Sprintf("AutoShutdown(%d)", int(a))
}

func (a AutoShutdown) valid() bool { return a >= Never && a <= AllSignificant }
