package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynqTuning is what decides how fast Asynq is.
type asynqTuning struct {
	servers     int // in this process: each takes one task after the other off the queue
	concurrency int // of each
	conns       int // of each, and of the client
}

func (a asynqTuning) String() string {
	return fmt.Sprintf("%d servers with Concurrency %d, TaskCheckInterval 5 ms, no retention, pools of %d connections", a.servers, a.concurrency, a.conns)
}

type asynqQueue struct {
	*tally
	redis   *redis.Client
	client  *asynq.Client
	servers []*asynq.Server
}

// open starts the servers on an empty Redis. Asynq tells nobody of a completion; it takes the task off the active list.
func (a asynqTuning) open(ctx context.Context, s *site, tasks int) (queue, error) {
	q := &asynqQueue{tally: newTally(tasks), redis: redis.NewClient(&redis.Options{Network: "unix", Addr: s.redis})}
	if err := q.redis.FlushAll(ctx).Err(); err != nil {
		return nil, errors.Join(err, q.redis.Close())
	}
	where := asynq.RedisClientOpt{Network: "unix", Addr: s.redis, PoolSize: a.conns}
	q.client = asynq.NewClient(where)
	handler := asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		q.add(1)
		return nil
	})
	for range a.servers {
		server := asynq.NewServer(where, asynq.Config{
			Concurrency: a.concurrency, TaskCheckInterval: 5 * time.Millisecond, LogLevel: asynq.ErrorLevel,
		})
		if err := server.Start(handler); err != nil {
			return nil, errors.Join(err, q.close(ctx))
		}
		q.servers = append(q.servers, server)
	}
	return q, nil
}

func (q *asynqQueue) enqueue(ctx context.Context, _ int) error {
	_, err := q.client.EnqueueContext(ctx, asynq.NewTask(noopKind, noopBytes()))
	return err
}

// left counts what is waiting or at work. Redis answers this after it has synced what it did before.
func (q *asynqQueue) left(ctx context.Context) (int, error) {
	active, err := q.redis.LLen(ctx, "asynq:{default}:active").Result()
	if err != nil {
		return 0, err
	}
	pending, err := q.redis.LLen(ctx, "asynq:{default}:pending").Result()
	return int(active + pending), err
}

func (q *asynqQueue) await(ctx context.Context) error { return q.awaitEmpty(ctx, q.left) }

func (q *asynqQueue) kept(ctx context.Context) (int, error) {
	n, err := q.redis.ZCard(ctx, "asynq:{default}:completed").Result()
	return int(n), err
}

func (q *asynqQueue) close(context.Context) error {
	for _, server := range q.servers {
		server.Shutdown()
	}
	return errors.Join(q.client.Close(), q.redis.Close())
}
