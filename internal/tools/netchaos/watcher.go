package main

import (
	"context"
	"errors"
	"sync"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote"
)

// runWatcher monitors all receivers, and a task at each, again and again until ctx ends.
func runWatcher(ctx context.Context, c *childConfig, j *journal) error {
	clients, runners, err := dial(ctx, c)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for i, r := range runners {
		all.Go(func() {
			held := ""
			for number := c.Life * 1000; ctx.Err() == nil; number++ {
				held = watch(ctx, clients[i], r, i, tokenOf(c.Name, i, number), held, j)
			}
		})
	}
	<-ctx.Done()
	for _, client := range clients {
		err = errors.Join(err, client.Close(context.WithoutCancel(ctx)))
	}
	all.Wait()
	return err
}

// watch waits for a connection, monitors the runner and a task that holds, and returns that task when both are told of. The monitors are
// in place when a run is accepted that was asked for behind them: all goes over one stream, and is dealt with in its order. held
// is the task of the time before; it would hold for ever.
func watch(ctx context.Context, client *remote.Client, r *remote.Runner, peer int, token, held string, j *journal) (holds string) {
	if client.Ready(ctx) != nil {
		return held
	}
	if held != "" && r.Cancel(ctx, held) != nil {
		return held
	}
	o := order{Token: token, Do: planHolds}
	if _, err := remote.Run[result](ctx, r, kind, o, remote.WithID(o.id())); err != nil {
		return ""
	}
	var told sync.WaitGroup
	told.Add(2)
	hear := func(of string) func(messages.Down) {
		return func(down messages.Down) {
			j.write(event{What: isDown, Peer: peer, How: of, Text: down.Reason.Error()})
			told.Done()
		}
	}
	r.Monitor(hear(ofRunner))
	r.MonitorTask(o.id(), hear(ofTask))
	if _, err := remote.Run[result](ctx, r, kind, order{Token: token + ".probe", Do: planValue}); err == nil {
		j.write(event{What: isWatching, Peer: peer})
	}
	told.Wait() // also when the client is closed
	return o.id()
}
