package remote

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

const (
	runnerName  = "bench"
	kindName    = "nothing"
	maxChildren = 20_000
)

// arguments have 100 bytes as JSON, as the payload of the others has.
type arguments struct {
	Text string `json:"t"`
}

func someArguments() arguments { return arguments{strings.Repeat("x", payloadBytes-len(`{"t":""}`))} }

// startRunner starts a runner whose tasks give back their arguments, with a store or without.
func startRunner(ctx context.Context, path string) (*actors.TaskRunner, func() error, error) {
	return startRunnerOf(ctx, path, maxChildren, func(_ context.Context, a arguments) (arguments, error) { return a, nil })
}

// startRunnerOf starts one that runs so many tasks at once.
func startRunnerOf(ctx context.Context, path string, children int, f func(context.Context, arguments) (arguments, error)) (*actors.TaskRunner, func() error, error) {
	config := actors.TaskRunnerConfig{Name: runnerName, MaxChildren: children, Kinds: actors.Kinds{actors.Kind(kindName, f)}}
	closeStore := func() error { return nil }
	if path != "" {
		db, err := sqlite.Open(ctx, path, sqlite.Config{})
		if err != nil {
			return nil, nil, err
		}
		config.Store, closeStore = store.Store(db), db.Close
	}
	runner, err := actors.StartTaskRunner(ctx, config)
	if err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	return runner, func() error {
		return errors.Join(runner.Stop(context.Background()), closeStore())
	}, nil
}

// serveOurs serves a runner until the context ends, and tells its address.
func serveOurs(ctx context.Context, path string, tell func(net.Addr)) error {
	runner, stop, err := startRunner(ctx, path)
	if err != nil {
		return err
	}
	return serveRunner(ctx, runner, stop, tell)
}

func serveRunner(ctx context.Context, runner *actors.TaskRunner, stop func() error, tell func(net.Addr)) error {
	listener, err := remote.Listen(ctx, "127.0.0.1:0", remote.ListenConfig{Runners: []*actors.TaskRunner{runner}, DrainTimeout: -1})
	if err != nil {
		return errors.Join(err, stop())
	}
	tell(listener.Addr())
	<-ctx.Done()
	return errors.Join(listener.Stop(context.Background()), stop())
}

// dialOurs gives a task from Run to its completion handled.
func dialOurs(ctx context.Context, address string) (call func(ctx context.Context) error, closed func() error, err error) {
	client, err := remote.Dial(ctx, address, remote.DialConfig{})
	if err != nil {
		return nil, nil, err
	}
	runner := client.Runner(runnerName)
	return func(ctx context.Context) error {
		task, err := remote.Run[arguments](ctx, runner, kindName, someArguments())
		if err != nil {
			return err
		}
		_, err = task.Await(ctx)
		return err
	}, func() error { return client.Close(context.Background()) }, client.Ready(ctx)
}

// dialLocal is the same without a network, in the process of the caller.
func dialLocal(ctx context.Context, path string) (call func(ctx context.Context) error, closed func() error, err error) {
	runner, stop, err := startRunner(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error {
		task, err := actors.Run[arguments](ctx, runner, kindName, someArguments())
		if err != nil {
			return err
		}
		_, err = task.Await(ctx)
		return err
	}, stop, nil
}
