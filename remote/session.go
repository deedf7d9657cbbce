package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
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
	in       *outbox[frame]
	out      *outbox[answer]
	rate     *rate.Limiter
	last     atomic.Uint64 // the highest number so far
	dealt    uint64        // the last number that was dealt with
	delayed  map[*served]uint64

	lot  []frame // runs for one runner that are dealt with just now, in memory that is used again, as that of the next two
	good []wanted
	runs []messages.Run

	mu   sync.Mutex
	owed map[uint64]*debt
}

// debt is an outcome, or a down, that was asked for and has not arrived.
type debt struct {
	served *served
	taskID string // empty: of a down
	leave  func() // takes back the wish; nil: it lies in the inbox of the runner
}

// run is the life of the session. It ends with the stream, or when the listener does.
func (s *session) run() error {
	hello, err := s.hello()
	if err != nil {
		return statusOf(err)
	}
	s.key = s.peer.name + "/" + hello.GetClient()
	ctx, cancel := context.WithCancelCause(s.stream.Context())
	s.ctx = ctx
	leave, err := s.listener.enter(ctx, s, cancel)
	if err != nil {
		return statusOf(err)
	}
	defer leave()
	s.start(cancel, s.read)
	s.start(cancel, s.write)
	<-s.start(cancel, s.deal)
	s.release()
	return statusOf(context.Cause(ctx))
}

// start has f done by a goroutine of its own. The end of one is the end of the session; so is a panic, and of nothing else. Those that read and
// write are not waited for here: gRPC ends them with the stream, when run has returned, and a client that has gone silent would hold up its
// own next stream.
func (s *session) start(cancel context.CancelCauseFunc, f func() error) (ended <-chan struct{}) {
	done := make(chan struct{})
	s.listener.streams.Go(func() {
		defer close(done)
		cancel(s.listener.contain("Connect", f))
	})
	return done
}

// hello takes the first message, which must not be late.
func (s *session) hello() (*remotepb.Hello, error) {
	var first raw
	var err error
	ctx, cancel := context.WithTimeoutCause(s.stream.Context(), helloTimeout, errNoHello)
	defer cancel()
	came := make(chan struct{})
	s.listener.streams.Go(func() {
		defer close(came)
		first, err = receive(s.stream)
	})
	select {
	case <-came:
	case <-ctx.Done():
		if context.Cause(ctx) != errNoHello { //nolint:errorlint // it is ours, unwrapped
			return nil, context.Cause(ctx)
		}
		return nil, s.listener.refuse(s.peer, refusedBadHello, errNoHello)
	}
	if err != nil {
		return nil, err
	}
	hello, number, err := helloIn(first.data)
	s.last.Store(number)
	if err != nil {
		err = s.listener.refuse(s.peer, refusedBadHello, err)
	}
	return hello, err
}

// helloIn reads the first message.
func helloIn(data []byte) (hello *remotepb.Hello, number uint64, err error) {
	requests, err := requestForm.frames(data, nil)
	if err != nil {
		return nil, 0, err
	}
	if len(requests) != 1 || requests[0].what != askHello {
		return nil, 0, fmt.Errorf("%w: the first message must be a Hello and nothing else", ErrInvalid)
	}
	hello = &remotepb.Hello{}
	if err := requests[0].decode(hello); err != nil {
		return nil, 0, err
	}
	return hello, requests[0].number, validID("Hello: client", hello.GetClient())
}

// maxGathered is how many requests gather at most before no more are read. It is twice what one message may hold, so that there is
// always one to be dealt with while the next is read.
const maxGathered = 2 * maxRequests

// maxGatheredBytes is how many bytes gather at most before no more are read, besides those of two messages.
const maxGatheredBytes = 4 << 20

// read takes what comes, until nothing comes any more.
func (s *session) read() error {
	var requests []frame
	for s.in.below(s.ctx, maxGathered, maxGatheredBytes) {
		message, err := receive(s.stream)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if requests, err = s.guard(message.data, requests[:0]); err != nil {
			return err
		}
		if err := s.rate.WaitN(s.ctx, max(1, len(requests))); err != nil {
			return err
		}
		if n := len(requests); n > 0 {
			requests[n-1].message = message.buffer
			s.in.weigh(len(message.data)) // each of them holds all of it
			s.in.put(requests...)
		}
	}
	return context.Cause(s.ctx)
}

// deal deals with what has gathered, until the session ends. Whoever asks and does not take the answers is not dealt with any further. When the
// listener has nothing more to tell, it says up to where it came, so that of a run which was on its way nobody need ask whether it was accepted.
func (s *session) deal() error {
	var requests []frame
	for s.out.below(s.ctx, s.listener.limits.MaxUnacknowledged+maxGathered, maxOutcomeBytes) {
		select {
		case <-s.in.wake:
			s.in.settle()
			requests = s.in.take(requests)
			s.handle(requests)
			freeMessages(requests)
		case <-s.listener.ending:
			s.put(0, isEnded, &remotepb.Ended{Last: s.dealt})
			<-s.ctx.Done() // when that is written
		case <-s.ctx.Done():
		}
	}
	return context.Cause(s.ctx)
}

// freeMessages lets go of the messages all of whose requests are dealt with.
func freeMessages(requests []frame) {
	for i := range requests {
		if message := requests[i].message; message != nil {
			message.Free()
		}
	}
}

// handle deals with the requests in their order; runs that come one after the other are handed over together.
//
// That outcomes have arrived, which comes with nearly every message of a busy client, does not come between the runs for a runner with a store:
// each lot of them is a commit, of which 256 callers with 30,000 tasks had 8,043 in place of 348.
func (s *session) handle(requests []frame) {
	for i := range requests {
		r := &requests[i]
		switch {
		case r.what == askRun && (len(s.lot) == 0 || bytes.Equal(r.runner, s.lot[0].runner)):
			s.lot = append(s.lot, *r)
		case r.what == askArrived && len(s.lot) > 0 && s.listener.records(s.lot[0].runner):
			s.handleOne(r)
		case r.what == askRun:
			s.runLot()
			s.lot = append(s.lot, *r)
		default:
			s.runLot()
			s.handleOne(r)
		}
	}
	s.runLot()
	if len(requests) > 0 {
		s.dealt = requests[len(requests)-1].number
	}
}

// runLot hands over the runs that have gathered.
func (s *session) runLot() {
	if len(s.lot) > 0 {
		began := time.Now()
		s.runAll(s.lot)
		s.noteDelay(s.lot[0].runner, began)
		clear(s.lot)
		s.lot = s.lot[:0]
	}
}

func (s *session) handleOne(r *frame) {
	began := time.Now()
	err := s.handleWhat(r)
	s.noteDelay(r.runner, began)
	if err != nil {
		s.refuse(r.number, err)
	}
}

// served finds the runner that a request is for.
func (s *session) served(r *frame) (*served, error) {
	served, err := s.listener.served(s.peer, r.runner)
	if err == nil && r.number <= s.delayed[served] {
		err = fmt.Errorf("%w: the database of runner %q has not answered what was asked before", store.ErrUnavailable, served.runner.Name())
	}
	return served, err
}

// noteDelay has the requests that have waited behind one without an answer in time refused: they have waited as long. Else each of them would wait
// for itself, and the last one for the sum.
func (s *session) noteDelay(runner []byte, began time.Time) {
	if time.Since(began) < s.listener.limits.AcceptTimeout {
		return
	}
	if s.delayed == nil {
		s.delayed = map[*served]uint64{}
	}
	if at := s.listener.runners[string(runner)]; at != nil {
		s.delayed[at] = s.last.Load()
	}
}

func (s *session) handleWhat(r *frame) error {
	var id string
	switch r.what {
	case askAwait, askCancel, askMonitor:
		what := &remotepb.Await{} // the three have the same form
		if err := r.decode(what); err != nil {
			return err
		}
		id = what.GetTaskId()
	}
	switch r.what {
	case askAwait:
		return s.await(r, id)
	case askCancel:
		return s.cancelTask(r, id)
	case askMonitor:
		return s.monitor(r, id)
	case askForget:
		return s.forget(r)
	case askArrived:
		return r.numbers(func(number uint64) { s.settle(number, true) })
	}
	return s.listener.refuse(s.peer, refusedUnknown, unknownRequest(r))
}

func (s *session) forget(r *frame) error {
	what := &remotepb.Forget{}
	if err := r.decode(what); err != nil {
		return err
	}
	s.settle(what.GetNumber(), false)
	return nil
}

// owe notes that an outcome was asked for, unless too many are owed.
func (s *session) owe(number uint64, d *debt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.listener.limits.MaxUnacknowledged; len(s.owed) >= limit {
		return &actors.FullError{Runner: d.served.runner.Name(), Limit: "MaxUnacknowledged", Max: limit}
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
	leave := d.leave
	s.mu.Unlock()
	s.leave(number, d, leave)
	if arrived && d.taskID != "" {
		d.served.arrived(s.peer.name, d.taskID, true)
	}
}

// leave takes back the wish to be told.
func (s *session) leave(number uint64, d *debt, leave func()) {
	switch {
	case leave != nil:
		leave()
	case d.served.inbox != nil && d.taskID != "":
		d.served.inbox.leave(d.taskID, follower{s, number})
	}
}

// release gives up what is owed, when the stream is gone. The client will ask again.
func (s *session) release() {
	s.mu.Lock()
	owed := s.owed
	s.owed = map[uint64]*debt{}
	s.mu.Unlock()
	for number, d := range owed {
		s.leave(number, d, d.leave)
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
