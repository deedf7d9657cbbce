package remote

import (
	"fmt"

	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// maxRequests is how many requests one message may hold, and maxArrived how many numbers an Arrived.
const (
	maxRequests = 4096
	maxArrived  = 65_536
)

// guard looks at a message before anything of it is dealt with. What breaks a rule of the stream itself ends the stream, and nothing else;
// what is wrong with one request is that request's, and refused when its turn comes.
func (s *session) guard(message *remotepb.ConnectRequest) error {
	last, err := checkRequests(message.GetRequests(), s.last)
	if err != nil {
		return s.listener.refuse(s.peer, refusedBadMessage, err)
	}
	s.last = last
	return nil
}

// checkRequests checks what does not depend on the state of the listener, and gives the highest number.
func checkRequests(requests []*remotepb.Request, last uint64) (uint64, error) {
	if len(requests) > maxRequests {
		return last, fmt.Errorf("%w: a message with %d requests, want at most %d", ErrInvalid, len(requests), maxRequests)
	}
	for _, r := range requests {
		if r == nil {
			return last, fmt.Errorf("%w: an empty request", ErrInvalid)
		}
		if r.GetNumber() <= last {
			return last, fmt.Errorf("%w: number %d behind number %d, want a higher one", ErrInvalid, r.GetNumber(), last)
		}
		last = r.GetNumber()
		if len(r.GetRunner()) > store.MaxName {
			return last, fmt.Errorf("%w: runner has %d bytes, want at most %d", ErrInvalid, len(r.GetRunner()), store.MaxName)
		}
		if n := len(r.GetArrived().GetNumbers()); n > maxArrived {
			return last, fmt.Errorf("%w: arrived has %d numbers, want at most %d", ErrInvalid, n, maxArrived)
		}
	}
	return last, nil
}

// validID checks an id that came from outside.
func validID(field, id string) error {
	if err := store.ValidID(field, id); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
