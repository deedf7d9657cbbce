package remote

import (
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// maxRequests is how many requests or answers one message may hold, and maxArrived how many numbers an Arrived.
const (
	maxRequests = 4096
	maxArrived  = 65_536
)

// guard looks at a message before anything of it is dealt with. What breaks a rule of the stream itself ends the stream, and nothing else;
// what is wrong with one request is that request's, and refused when its turn comes.
func (s *session) guard(data []byte, into []frame) (requests []frame, err error) {
	if requests, err = requestForm.frames(data, into); err == nil {
		var last uint64
		last, err = checkRequests(requests, s.last.Load())
		s.last.Store(last)
	}
	if err != nil {
		err = s.listener.refuse(s.peer, refusedBadMessage, err)
	}
	return requests, err
}

// checkRequests checks what does not depend on the state of the listener, and gives the highest number.
func checkRequests(requests []frame, last uint64) (uint64, error) {
	for i := range requests {
		r := &requests[i]
		if r.number <= last {
			return last, fmt.Errorf("%w: number %d behind number %d, want a higher one", ErrInvalid, r.number, last)
		}
		last = r.number
		if len(r.runner) > store.MaxName {
			return last, fmt.Errorf("%w: runner has %d bytes, want at most %d", ErrInvalid, len(r.runner), store.MaxName)
		}
		if r.what == askArrived {
			if err := checkArrived(r); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

func checkArrived(r *frame) error {
	n := 0
	if err := r.numbers(func(uint64) { n++ }); err != nil {
		return err
	}
	if n > maxArrived {
		return fmt.Errorf("%w: arrived has %d numbers, want at most %d", ErrInvalid, n, maxArrived)
	}
	return nil
}

// validPriority checks what the envelope lets through, since there a priority is any number.
func validPriority(priority int) error {
	if priority > store.MaxPriority {
		return fmt.Errorf("%w: priority is %d, want 0 to %d", ErrInvalid, priority, store.MaxPriority)
	}
	return nil
}

// validID checks an id that came from outside.
func validID(field, id string) error {
	if err := store.ValidID(field, id); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
