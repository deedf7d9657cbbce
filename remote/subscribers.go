package remote

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// Acknowledge says up to where a subscriber has dealt with the outcomes.
func (s *tasksServer) Acknowledge(ctx context.Context, r *remotepb.AcknowledgeRequest) (*remotepb.AcknowledgeResponse, error) {
	err := s.forSubscriber(ctx, r, func(ctx context.Context, p *peer, served *served) error {
		return served.acknowledge(ctx, p.name, r.GetSubscriber(), r.GetCursor())
	})
	if err != nil {
		return nil, err
	}
	return &remotepb.AcknowledgeResponse{}, nil
}

// Unsubscribe forgets a subscriber.
func (s *tasksServer) Unsubscribe(ctx context.Context, r *remotepb.UnsubscribeRequest) (*remotepb.UnsubscribeResponse, error) {
	err := s.forSubscriber(ctx, r, func(ctx context.Context, p *peer, served *served) error {
		return served.unsubscribe(ctx, p.name, r.GetSubscriber())
	})
	if err != nil {
		return nil, err
	}
	return &remotepb.UnsubscribeResponse{}, nil
}

// forSubscriber has f done at the runner's store, if that is there and the client may read the runner's outcomes.
func (s *tasksServer) forSubscriber(ctx context.Context, r interface {
	GetRunner() string
	GetSubscriber() string
}, f func(context.Context, *peer, *served) error) error {
	return s.serve(ctx, func(p *peer) error {
		served, err := s.listener.served(p, []byte(r.GetRunner()))
		if err != nil {
			return err
		}
		if err := p.may(actionRead, r.GetRunner(), ""); err != nil {
			return err
		}
		if served.inbox != nil {
			return fmt.Errorf("remote: runner %q: %w", r.GetRunner(), actors.ErrNoStore)
		}
		if r.GetSubscriber() == "" {
			return fmt.Errorf("%w: subscriber is empty, want a name", ErrInvalid)
		}
		ctx, cancel := context.WithTimeout(ctx, s.listener.limits.AcceptTimeout)
		defer cancel()
		return f(ctx, p, served)
	})
}

// subscriberOf is the name of a client's subscriber in the store: no other client can acknowledge for it. A slash in the client's own name, which
// may be a URI, is escaped: client a has no subscriber of client a/b.
func subscriberOf(owner, name string) string { return url.PathEscape(owner) + "/" + name }

// mayHaveSubscriber reports why a client may not have one more subscriber. All clients together have store.MaxSubscribers places at a
// runner, and what a subscriber has not acknowledged is kept.
func (s *served) mayHaveSubscriber(ctx context.Context, owner, name string) error {
	all, err := s.runner.Store().Subscribers(ctx, s.runner.Name())
	if err != nil {
		return err
	}
	own := 0
	for _, subscriber := range all {
		if subscriber.Name == subscriberOf(owner, name) {
			return nil
		}
		if strings.HasPrefix(subscriber.Name, subscriberOf(owner, "")) {
			own++
		}
	}
	if own >= s.limits.MaxSubscribers {
		return &actors.FullError{Runner: s.runner.Name(), Limit: "MaxSubscribers", Max: s.limits.MaxSubscribers}
	}
	return nil
}

// acknowledge says up to where a subscriber has dealt with the outcomes.
func (s *served) acknowledge(ctx context.Context, owner, name string, pos int64) error {
	_, err := s.runner.Store().Acknowledge(ctx, time.Now(), s.runner.Name(), subscriberOf(owner, name), pos)
	return err
}

// unsubscribe forgets a subscriber of a client.
func (s *served) unsubscribe(ctx context.Context, owner, name string) error {
	return s.runner.Store().Unsubscribe(ctx, s.runner.Name(), subscriberOf(owner, name))
}
