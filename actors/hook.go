package actors

import (
	"context"
	"runtime/debug"
)

// hook has the user's HandleInfo told, when the server has dealt with the message at hand.
func (s *runner) hook(message any) {
	if s.config.HandleInfo != nil && message != nil {
		s.untold.put(message)
	}
}

// flushHook runs the user's HandleInfo for all that it is to be told, and waits for it. It is an observer: its panic is logged, and
// the runner goes on. It has a goroutine of its own, because a Goexit could not be held up in the server's; then the next one
// goes on with the message behind.
func (s *runner) flushHook(ctx context.Context) {
	for messages := s.untold.take(); len(messages) > 0; {
		told := make(chan int)
		go func() {
			n := 0
			defer func() { told <- n }()
			for n < len(messages) {
				n++
				s.callHook(ctx, messages[n-1])
			}
		}()
		messages = messages[<-told:]
	}
}

func (s *runner) callHook(ctx context.Context, message any) {
	defer func() {
		if value := recover(); value != nil {
			s.config.Logger.Error("HandleInfo panicked", "runner", s.config.Name, "panic", value, "stack", string(debug.Stack()))
		}
	}()
	s.config.HandleInfo(ctx, message)
}
