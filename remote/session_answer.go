package remote

import (
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// answer is what is to be sent: a frame, or the outcome of which one is made when it is sent, so that a runner which tells of it is not
// held up.
type answer struct {
	frame
	outcome any
	later   *debt // the outcome is looked up when it is sent
}

// maxOutcomeBytes is how many bytes of recorded results gather for a client that does not take them. What is beyond is looked up again when its
// turn comes: a small request may ask for a mebibyte, and ten thousand of them may be owed.
const maxOutcomeBytes = 4 << 20

func (s *session) put(number uint64, what protowire.Number, m proto.Message) {
	s.out.put(answer{frame: frame{number: number, what: what, payload: payloadOf(m)}})
}

func (s *session) refuse(number uint64, err error) {
	s.listener.note(s.peer, err)
	s.put(number, isRefused, refused(err))
}

// tell has an outcome sent, or why there is none.
func (s *session) tell(number uint64, outcome any, err error) {
	if err != nil {
		s.refuse(number, err)
		return
	}
	a := answer{frame: frame{number: number, what: isOutcome}, outcome: outcome}
	if completed, ok := outcome.(messages.Completed); !ok || len(completed.Result) == 0 {
		s.out.put(a)
	} else if size := len(completed.Result); !s.out.putWithin(a, size, maxOutcomeBytes) {
		s.putLater(a, size)
	}
}

// putLater puts an outcome for which there is no room: if it is recorded, it need not be here.
func (s *session) putLater(a answer, size int) {
	s.mu.Lock()
	d := s.owed[a.number]
	s.mu.Unlock()
	if d != nil && d.served.inbox == nil && d.taskID != "" {
		a.outcome, a.later, size = nil, d, 0
	}
	s.out.putWithin(a, size, math.MaxInt)
}

// write sends what there is to tell. While one message is being sent, the next gathers.
func (s *session) write() error {
	if err := s.welcome(); err != nil {
		return err
	}
	ticker := time.NewTicker(roomEvery)
	defer ticker.Stop()
	rooms, leaving := s.listener.rooms(s.peer), s.listener.leaving
	var batch []answer
	for {
		select {
		case <-s.out.wake:
			s.out.settle()
			batch = s.out.take(batch)
			if err := s.send(batch); err != nil {
				return err
			}
			if slices.ContainsFunc(batch, func(a answer) bool { return a.what == isEnded }) {
				return actors.ErrStopping
			}
		case <-ticker.C:
			if err := s.peer.stays(time.Now()); err != nil {
				return err
			}
			now := s.listener.rooms(s.peer)
			if changed := changedRooms(rooms, now); len(changed) > 0 {
				rooms = now
				s.put(0, isRooms, &remotepb.Rooms{Rooms: changed})
			}
		case <-leaving:
			leaving = nil
			s.put(0, isLeaving, &remotepb.Leaving{})
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

func (s *session) welcome() error {
	welcome := payloadOf(&remotepb.Welcome{
		Node:              s.listener.node,
		MaxUnacknowledged: uint32(s.listener.limits.MaxUnacknowledged),
		MaxMessage:        uint32(s.listener.limits.MaxMessage),
		Rooms:             s.listener.rooms(s.peer),
	})
	return sendFrames(s.stream, answerForm.append(nil, &frame{number: 1, what: isWelcome, payload: welcome}))
}

// sendBytes is how large a message becomes at most before the next one is begun: a message is in memory as a whole at both ends.
const sendBytes = 256 << 10

// send sends the answers in as many messages as it takes.
func (s *session) send(batch []answer) error {
	const usual = 128 // bytes of an answer
	message, answers := newMessage(min(usual*len(batch), sendBytes)), 0
	var outcome []byte
	for i := range batch {
		a := &batch[i]
		if a.later != nil {
			s.lookUp(a)
		}
		if a.outcome != nil {
			outcome = a.encode(outcome[:0])
		}
		message = answerForm.append(message, &a.frame)
		if answers++; len(message) < sendBytes && answers < maxRequests && i < len(batch)-1 {
			continue
		}
		if err := sendFrames(s.stream, message); err != nil {
			return err
		}
		message, answers = newMessage(min(usual*(len(batch)-i), sendBytes)), 0
	}
	return nil
}

// lookUp gives an answer the outcome that it is to tell.
func (s *session) lookUp(a *answer) {
	ctx, cancel := context.WithTimeout(s.ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	var err error
	if a.outcome, err = a.later.served.runner.Outcome(ctx, a.later.taskID); err != nil {
		a.outcome, a.what, a.payload = nil, isRefused, payloadOf(refused(err))
	}
}

// encode makes the answer of an outcome, with the memory that it is given.
func (a *answer) encode(data []byte) []byte {
	data, err := appendOutcome(data, a.outcome)
	if err != nil {
		a.what, data = isRefused, payloadOf(refused(err))
	}
	a.payload = data
	return data
}
