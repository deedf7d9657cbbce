package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// roomEvery is how often a client is told how much room there is, if that has changed.
const roomEvery = 200 * time.Millisecond

// session is one stream of one client, as the listener has it. One goroutine reads; one deals with everything that the client wants, in its
// order, and while it waits for the database, more gathers, which is then recorded together; one writes.
type session struct {
	listener *Listener
	stream   remotepb.Link_ConnectServer
	peer     *peer
	key      string // of the client: its name, and the UUID of its Hello
	ctx      context.Context
	in       *outbox[*remotepb.Request]
	out      *outbox[answer]
	rate     *rate.Limiter
	last     uint64 // the highest number so far

	mu   sync.Mutex
	owed map[uint64]*debt
}

// answer is what is to be sent: an answer, or the outcome of which one is made when it is sent, so that a runner which tells of it is not
// held up.
type answer struct {
	*remotepb.Answer
	number  uint64
	outcome any
}

// debt is an outcome, or a down, that was asked for and has not arrived.
type debt struct {
	served *served
	taskID string
	leave  func()
	alive  func() // stops the timer that cancels the task at its deadline; it goes on when the stream is gone
}

// run is the life of the session. It ends with the stream, or when the listener does.
func (s *session) run() error {
	hello, err := s.hello()
	if err != nil {
		return err
	}
	s.key = s.peer.name + "/" + hello.GetClient()
	ctx, cancel := context.WithCancelCause(s.stream.Context())
	s.ctx = ctx
	leave, err := s.listener.enter(ctx, s, cancel)
	if err != nil {
		return err
	}
	defer leave()
	writing, dealing := make(chan error, 1), make(chan struct{})
	go func() {
		err := s.write()
		cancel(err)
		writing <- err
	}()
	go func() {
		defer close(dealing)
		s.deal()
	}()
	err = s.read()
	cancel(err)
	<-dealing
	s.release()
	if wrote := <-writing; err == nil || errors.Is(err, context.Canceled) {
		err = wrote
	}
	return statusOf(err)
}

// hello takes the first message.
func (s *session) hello() (*remotepb.Hello, error) {
	first, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	if len(first.GetRequests()) != 1 || first.GetRequests()[0].GetHello() == nil {
		return nil, s.listener.refuse(s.peer, refusedBadHello, fmt.Errorf("%w: the first message must be a Hello and nothing else", ErrInvalid))
	}
	hello := first.GetRequests()[0].GetHello()
	if err := validID("Hello: client", hello.GetClient()); err != nil {
		return nil, s.listener.refuse(s.peer, refusedBadHello, err)
	}
	return hello, nil
}

// maxGathered is how many requests gather at most before no more are read. It is twice what one message may hold, so that there is
// always one to be dealt with while the next is read.
const maxGathered = 2 * maxRequests

// read takes what comes, until nothing comes any more.
func (s *session) read() error {
	for s.in.below(s.ctx, maxGathered) {
		message, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.guard(message); err != nil {
			return err
		}
		if err := s.rate.WaitN(s.ctx, len(message.GetRequests())); err != nil {
			return err
		}
		s.in.put(message.GetRequests()...)
	}
	return context.Cause(s.ctx)
}

// deal deals with what has gathered, until the session ends. Whoever asks and does not take the answers is not dealt with any further.
func (s *session) deal() {
	var requests []*remotepb.Request
	for s.out.below(s.ctx, s.listener.limits.MaxUnacknowledged+maxGathered) {
		select {
		case <-s.in.wake:
			s.in.settle()
			requests = s.in.take(requests)
			s.handle(requests)
		case <-s.ctx.Done():
			return
		}
	}
}

// handle deals with the requests in their order; runs that come one after the other are handed over together.
func (s *session) handle(requests []*remotepb.Request) {
	var runs []*remotepb.Request
	flush := func() {
		if len(runs) > 0 {
			s.runAll(runs)
			runs = runs[:0]
		}
	}
	for _, r := range requests {
		if r.GetRun() != nil {
			if len(runs) > 0 && r.GetRunner() != runs[0].GetRunner() {
				flush()
			}
			runs = append(runs, r)
			continue
		}
		flush()
		s.handleOne(r)
	}
	flush()
}

func (s *session) handleOne(r *remotepb.Request) {
	var err error
	switch what := r.GetWhat().(type) {
	case *remotepb.Request_Await:
		err = s.await(r, what.Await.GetTaskId())
	case *remotepb.Request_Cancel:
		if err = s.cancelTask(r, what.Cancel.GetTaskId()); err == nil {
			s.put(r.GetNumber(), &remotepb.Answer{What: &remotepb.Answer_Done{Done: &remotepb.Done{}}})
		}
	case *remotepb.Request_Monitor:
		err = s.monitor(r, what.Monitor.GetTaskId())
	case *remotepb.Request_Forget:
		s.settle(what.Forget.GetNumber(), false)
	case *remotepb.Request_Arrived:
		for _, number := range what.Arrived.GetNumbers() {
			s.settle(number, true)
		}
	default:
		err = s.listener.refuse(s.peer, refusedUnknown, ErrUnknownRequest)
	}
	if err != nil {
		s.refuse(r.GetNumber(), err)
	}
}

func (s *session) put(number uint64, a *remotepb.Answer) {
	a.Number = number
	s.out.put(answer{Answer: a})
}

func (s *session) refuse(number uint64, err error) {
	s.put(number, &remotepb.Answer{What: &remotepb.Answer_Refused{Refused: refused(err)}})
}

// tell has an outcome sent, or why there is none.
func (s *session) tell(number uint64, outcome any, err error) {
	if err != nil {
		s.refuse(number, err)
		return
	}
	s.out.put(answer{number: number, outcome: outcome})
}

// owe notes that an outcome was asked for, unless too many are owed.
func (s *session) owe(number uint64, d *debt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.listener.limits.MaxUnacknowledged; len(s.owed) >= limit {
		return fullError(d.served.runner.Name(), limit)
	}
	s.owed[number] = d
	return nil
}

// holds keeps how to give up a debt; one that is settled already is given up at once.
func (s *session) holds(number uint64, d *debt, leave func()) {
	s.mu.Lock()
	d.leave = leave
	gone := s.owed[number] != d
	s.mu.Unlock()
	if gone {
		leave()
	}
}

// settle ends a debt: the outcome has arrived, or nobody wants it any more.
func (s *session) settle(number uint64, arrived bool) {
	s.mu.Lock()
	d := s.owed[number]
	if d == nil {
		s.mu.Unlock()
		return
	}
	delete(s.owed, number)
	leave, alive := d.leave, d.alive
	s.mu.Unlock()
	if alive != nil && arrived {
		alive()
	}
	if leave != nil {
		leave()
	}
	if arrived && d.taskID != "" {
		d.served.arrived(s.peer.name, d.taskID, true)
	}
}

// release gives up what is owed, when the stream is gone. The client will ask again.
func (s *session) release() {
	s.mu.Lock()
	owed := s.owed
	s.owed = map[uint64]*debt{}
	var leaves []func()
	for _, d := range owed {
		if d.leave != nil {
			leaves = append(leaves, d.leave)
		}
	}
	s.mu.Unlock()
	for _, leave := range leaves {
		leave()
	}
}

// owes is how many outcomes are owed; those who monitor learn that the stream has ended.
func (s *session) owes() (outcomes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.owed {
		if d.taskID != "" {
			outcomes++
		}
	}
	return outcomes
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
		case <-ticker.C:
			now := s.listener.rooms(s.peer)
			if changed := changedRooms(rooms, now); len(changed) > 0 {
				rooms = now
				s.put(0, &remotepb.Answer{What: &remotepb.Answer_Rooms{Rooms: &remotepb.Rooms{Rooms: changed}}})
			}
		case <-leaving:
			leaving = nil
			s.put(0, &remotepb.Answer{What: &remotepb.Answer_Leaving{Leaving: &remotepb.Leaving{}}})
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

func (s *session) welcome() error {
	return s.stream.Send(&remotepb.ConnectResponse{Answers: []*remotepb.Answer{{Number: 1, What: &remotepb.Answer_Welcome{Welcome: &remotepb.Welcome{
		Node:              s.listener.node,
		MaxUnacknowledged: uint32(s.listener.limits.MaxUnacknowledged),
		MaxMessage:        uint32(s.listener.limits.MaxMessage),
		Rooms:             s.listener.rooms(s.peer),
	}}}}})
}

// sendBytes is how large a message becomes at most before the next one is begun: a message is in memory as a whole at both ends.
const sendBytes = 256 << 10

// send sends the answers in as many messages as it takes.
func (s *session) send(batch []answer) error {
	message, bytes := &remotepb.ConnectResponse{}, 0
	for i := range batch {
		a := batch[i].encode()
		message.Answers = append(message.Answers, a)
		bytes += roughSize(a)
		if bytes >= sendBytes || i == len(batch)-1 {
			if err := s.stream.Send(message); err != nil {
				return err
			}
			message, bytes = &remotepb.ConnectResponse{}, 0
		}
	}
	return nil
}

// encode makes the answer of an outcome.
func (a *answer) encode() *remotepb.Answer {
	if a.Answer != nil {
		return a.Answer
	}
	envelope, err := encodeOutcome(a.outcome)
	if err != nil {
		return &remotepb.Answer{Number: a.number, What: &remotepb.Answer_Refused{Refused: refused(err)}}
	}
	return &remotepb.Answer{Number: a.number, What: &remotepb.Answer_Outcome{Outcome: envelope}}
}

// roughSize is about how many bytes an answer takes: proto.Size would walk through all of it.
func roughSize(a *remotepb.Answer) int {
	const small = 32
	return small + len(a.GetOutcome().GetBody()) + len(a.GetRefused().GetText())
}

// deadlineOf is the deadline on an envelope; zero if there is none.
func deadlineOf(e *messages.Envelope) time.Time {
	if e.GetDeadline() == nil {
		return time.Time{}
	}
	return e.GetDeadline().AsTime()
}
