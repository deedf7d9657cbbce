package remote

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// up says that a link has a connection.
func (c *Client) up(l *link, w *remotepb.Welcome) {
	c.logger.Info("remote: connected", "address", l.address, "node", w.GetNode())
	c.mu.Lock()
	defer c.unlock()
	l.up, l.leaving, l.err, l.node = true, false, nil, w.GetNode()
	l.max, l.maxBytes = int(w.GetMaxUnacknowledged()), int(w.GetMaxMessage())
	l.last, l.open = 1, 0
	l.rooms = map[string]*room{}
	for _, r := range w.GetRooms() {
		l.rooms[r.GetRunner()] = &room{Room: r}
	}
	c.routeAll(time.Now())
}

// down says that a link has lost its connection, or has not got one. What it had waits for another one.
func (c *Client) down(l *link, err error) {
	if err = ofStatus(err, "", ""); c.ctx.Err() != nil {
		err = ErrClosed
	}
	c.logger.Info("remote: not connected", "address", l.address, "error", err)
	now := time.Now()
	c.mu.Lock()
	defer c.unlock()
	l.up, l.err, c.lost = false, err, err
	calls := append(slices.Collect(maps.Values(l.calls)), l.queue...)
	l.calls, l.queue, l.arrived, l.forgotten, l.open = map[uint64]*call{}, nil, nil, nil, 0
	for _, a := range inOrder(calls) {
		a.link, a.number = nil, 0
		a.unsure = a.unsure || a.sent && a.isRun() && !a.yes
		switch {
		case a.left:
			c.release(a)
		case a.closes:
			c.fail(a, messages.NoConnection)
		case c.ctx.Err() != nil:
			c.fail(a, ErrClosed)
		default:
			c.route(a, now)
		}
	}
	c.nodeLost(l)
	switch {
	case c.ctx.Err() != nil:
		c.failWaiting(ErrClosed)
	case errors.Is(err, ErrUnauthenticated):
		c.routeAll(now)
	}
}

// inOrder sorts calls as they were asked for.
func inOrder(calls []*call) []*call {
	slices.SortFunc(calls, func(a, b *call) int { return cmp.Compare(a.seq, b.seq) })
	return calls
}

func (c *Client) failWaiting(err error) {
	waiting := c.waiting
	c.waiting = nil
	for _, a := range waiting {
		c.fail(a, err)
	}
}

// drop forgets a link whose address is no longer wanted.
func (c *Client) drop(l *link) bool {
	c.mu.Lock()
	defer c.unlock()
	if l.unwanted {
		c.links = slices.DeleteFunc(c.links, func(other *link) bool { return other == l })
		c.routeAll(time.Now())
	}
	return l.unwanted
}

// clientSendBytes is how large a message of a client becomes at most before the next one is begun.
const clientSendBytes = 256 << 10

func (c *Client) queued(l *link) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(l.queue)
}

// take gives the message that a link is to send next; nil: nothing.
func (c *Client) take(l *link) (message []byte) {
	c.mu.Lock()
	defer c.unlock()
	if len(l.queue) == 0 && len(l.arrived) == 0 && len(l.forgotten) == 0 {
		return nil
	}
	taken := 0
	message = newMessage(c.roughSize(l.queue))
	for _, a := range l.queue {
		if a.isRun() && l.open >= l.max || len(message) >= clientSendBytes || taken >= maxRequests-2 {
			break
		}
		taken++
		if a.left {
			c.release(a)
			continue
		}
		c.number(l, a)
		message = requestForm.append(message, &a.frame)
	}
	clear(l.queue[:taken])
	if l.queue = l.queue[taken:]; len(l.queue) == 0 {
		l.queue = nil
	}
	if len(l.arrived) > 0 {
		l.last++
		some := min(len(l.arrived), maxArrived)
		message = requestForm.append(message, &frame{number: l.last, what: askArrived, payload: arrivedPayload(l.arrived[:some])})
		l.arrived = append(l.arrived[:0], l.arrived[some:]...)
	}
	if len(l.forgotten) > 0 {
		l.last++
		message = requestForm.append(message, &frame{number: l.last, what: askForget, payload: payloadOf(&remotepb.Forget{Number: l.forgotten[0]})})
		l.forgotten = l.forgotten[1:]
	}
	if len(message) == 0 {
		return nil
	}
	return message
}

// roughSize is about how large the message with these becomes. It need not grow then, or hardly.
func (c *Client) roughSize(queue []*call) (size int) {
	const around = 64 // of an envelope
	for _, a := range queue[:min(len(queue), maxRequests)] {
		size += around + len(a.frame.payload)
	}
	return min(size, clientSendBytes+clientSendBytes/4)
}

// number numbers a call that is about to be sent. It is called with the lock.
func (c *Client) number(l *link, a *call) {
	l.last++
	a.number, a.frame.number = l.last, l.last
	l.calls[a.number] = a
	if a.isRun() && !a.yes {
		l.open++
	}
	if !a.closes {
		a.sent, a.bound = true, l.placeOf(l.rooms[a.runner])
	}
}

// answers deals with what a listener has told.
func (c *Client) answers(l *link, answers []frame) {
	now := time.Now()
	c.mu.Lock()
	defer c.unlock()
	for i := range answers {
		c.answer(l, &answers[i], now)
	}
	if len(l.arrived) >= arrivedBatch || len(l.queue) > 0 && l.open < l.max {
		poke(l.wake)
	}
}

func (c *Client) answer(l *link, f *frame, now time.Time) {
	switch f.what {
	case isRooms:
		rooms := &remotepb.Rooms{}
		if f.decode(rooms) == nil {
			c.newRooms(l, rooms.GetRooms(), now)
		}
		return
	case isLeaving:
		l.leaving = true
		c.moveQueue(l, now)
		return
	case isEnded:
		ended := &remotepb.Ended{}
		if f.decode(ended) == nil {
			c.moveBehind(l, ended.GetLast(), now)
		}
		return
	}
	a := l.calls[f.number]
	if a == nil {
		if f.what == isOutcome {
			l.arrived = append(l.arrived, f.number)
		}
		return
	}
	switch f.what {
	case isAccepted:
		c.accepted(l, a, f)
	case isRefused:
		c.refused(l, a, refusedIn(f), now)
	case isDone:
		c.settled(l, a)
		if !isClosed(a.answered) {
			a.yes = true
			close(a.answered)
		}
	case isOutcome:
		c.outcome(l, a, f.payload)
	}
}

// refusedIn reads a refusal. One that cannot be read is one all the same.
func refusedIn(f *frame) *remotepb.Refused {
	answer := &remotepb.Refused{}
	if err := f.decode(answer); err != nil {
		answer.Text = err.Error()
	}
	return answer
}

func (c *Client) newRooms(l *link, rooms []*remotepb.Room, now time.Time) {
	for _, r := range rooms {
		known := l.rooms[r.GetRunner()] != nil
		l.rooms[r.GetRunner()] = &room{Room: r}
		if !known {
			l.bindAgain(r.GetRunner())
		}
	}
	if len(c.waiting) > 0 {
		c.routeAll(now)
	}
}

// bindAgain has the calls that were sent to a runner of which nothing was known, because the client may use it for a moment only, know where they
// are. It is called with the lock.
func (l *link) bindAgain(runner string) {
	for _, a := range l.calls {
		if a.runner == runner && a.sent {
			a.bound = l.placeOf(l.rooms[runner])
		}
	}
}

// moveQueue gives to others what a leaving listener has not got yet. It is called with the lock.
func (c *Client) moveQueue(l *link, now time.Time) {
	queue := l.queue
	l.queue = nil
	for _, a := range queue {
		a.link = nil
		c.route(a, now)
	}
}

// moveBehind gives to others the runs that a listener which has ended its stream has not looked at. It is called with the lock.
func (c *Client) moveBehind(l *link, last uint64, now time.Time) {
	l.leaving = true
	c.moveQueue(l, now)
	behind := slices.DeleteFunc(slices.Collect(maps.Values(l.calls)), func(a *call) bool { return !a.isRun() || a.yes || a.number <= last })
	for _, a := range inOrder(behind) {
		c.settled(l, a)
		l.open--
		if !a.unsure {
			a.unbind()
		}
		c.route(a, now)
	}
}

func (c *Client) accepted(l *link, a *call, f *frame) {
	if !isClosed(a.answered) {
		l.open--
		existed, unwatched := f.accepted()
		if a.yes, a.existed = true, existed; unwatched {
			a.wanted = false
		}
		a.lacking = nil
		c.release(a)
		close(a.answered)
	}
	if !a.wanted {
		c.settled(l, a)
	}
}

// settled says that nothing more comes for a call. It is called with the lock.
func (c *Client) settled(l *link, a *call) {
	delete(l.calls, a.number)
	a.link = nil
}

// refused deals with a refusal: of a run, before it was accepted, or of its outcome.
func (c *Client) refused(l *link, a *call, answer *remotepb.Refused, now time.Time) {
	err := reason(answer, a.runner, a.taskID)
	c.settled(l, a)
	if a.isRun() && !a.yes {
		l.open--
		if c.refusedRun(l, a, err, now) {
			return
		}
	}
	if a.yes && errors.Is(err, actors.ErrStopping) && a.bound.database != "" { // it runs when its runner is there again
		l.leaving = true
		c.route(a, now)
		return
	}
	c.fail(a, err)
}

// refusedRun reports whether the run is tried again.
func (c *Client) refusedRun(l *link, a *call, err error, now time.Time) bool {
	r := l.rooms[a.runner]
	switch {
	case r == nil:
		return false
	case errors.Is(err, actors.ErrStopping):
		r.Stopped = true
	case errors.Is(err, actors.ErrFull) && a.waits:
		r.full = true
	case errors.Is(err, actors.ErrFull): // others may have room
		a.turnedAway(l, err)
	case errors.Is(err, actors.ErrUnknownKind):
		a.lacks(l, err)
	default:
		return false
	}
	if !a.unsure {
		a.unbind()
	}
	c.route(a, now)
	return true
}

func (c *Client) outcome(l *link, a *call, envelope []byte) {
	c.settled(l, a)
	l.arrived = append(l.arrived, a.number)
	if a.closes {
		c.tellDown(a, reasonIn(envelope))
		return
	}
	if !a.wanted || a.over {
		return
	}
	if !isClosed(a.answered) { // of an Await
		a.yes = true
		close(a.answered)
	}
	a.end(bytes.Clone(envelope), nil) // a part of the message would keep all of it
}

// reasonIn is the reason in an envelope with a Down.
func reasonIn(envelope []byte) error {
	parcel, err := messages.ParseParcel(envelope)
	if err != nil {
		return err
	}
	message, err := parcel.Message()
	if down, ok := message.(messages.Down); ok {
		return down.Reason
	}
	return errors.Join(ErrInvalid, err)
}

// fullEvery is how often a run that waits for room is offered again: a listener tells of room only when it has more or less of it than
// before.
const fullEvery = 100 * time.Millisecond

// watchTheTime answers the calls that have waited too long for a connection, and offers again those that wait for room.
func (c *Client) watchTheTime() {
	every := max(min(c.config.Away/20, fullEvery), time.Millisecond)
	for pause(c.ctx, every) {
		now := time.Now()
		c.mu.Lock()
		c.giveUp(now)
		if slices.ContainsFunc(c.waiting, func(a *call) bool { return a.full }) {
			for _, l := range c.links {
				for _, r := range l.rooms {
					r.full = false
				}
			}
			c.routeAll(now)
		}
		c.unlock()
	}
	c.mu.Lock()
	defer c.unlock()
	c.failWaiting(ErrClosed)
}

// giveUp is called with the lock.
func (c *Client) giveUp(now time.Time) {
	c.waiting = slices.DeleteFunc(c.waiting, func(a *call) bool {
		if !a.left && (a.full || now.Sub(a.since) < c.config.Away) {
			return false
		}
		c.fail(a, c.awayError(a))
		return true
	})
}

// submit asks for something. What it answers is why that cannot be.
func (c *Client) submit(a *call) {
	c.mu.Lock()
	defer c.unlock()
	c.lastSeq++
	a.seq = c.lastSeq
	if c.ctx.Err() != nil {
		c.fail(a, ErrClosed)
		return
	}
	c.route(a, time.Now())
}

// leave says that nobody waits for a call any more. What was sent may be done all the same.
func (c *Client) leave(a *call) {
	c.mu.Lock()
	defer c.unlock()
	if a.isOver() || a.left {
		return
	}
	a.left = true
	c.release(a)
	if a.link != nil {
		delete(a.link.watchers, a)
	}
	if a.link != nil && a.number != 0 && a.link.calls[a.number] == a {
		l := a.link
		if a.isRun() && !a.yes {
			l.open--
		}
		c.settled(l, a)
		l.forgotten = append(l.forgotten, a.number)
		poke(l.wake)
	}
}
