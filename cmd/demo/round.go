package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// recorded is a move that is in the database.
type recorded struct {
	id   string
	move assets.Move
}

// unfinishedRounds gives what was asked for before and has not all ended: every task of each mutation of which at least
// one task is still to run, oldest first. The tasks of one mutation are recorded at the same moment, and so known.
func unfinishedRounds(ctx context.Context, db store.Store, runner string) ([]recorded, error) {
	rounds := map[time.Time]bool{}
	open := store.Query{Runner: runner, Kind: assets.KindName, States: []store.State{store.Scheduled, store.Available, store.Running, store.Retryable}}
	err := eachTask(ctx, db, open, func(t store.Task) bool {
		rounds[t.InsertedAt] = true // to the microsecond: two mutations cannot share it by accident in a demo
		return true
	})
	if err != nil || len(rounds) == 0 {
		return nil, err
	}
	var tasks []store.Task
	err = eachTask(ctx, db, store.Query{Runner: runner, Kind: assets.KindName}, func(t store.Task) bool {
		if rounds[t.InsertedAt] {
			tasks = append(tasks, t)
		}
		return true
	})
	slices.SortFunc(tasks, func(a, b store.Task) int { return cmp.Compare(a.Seq, b.Seq) })
	return movesOf(slices.CompactFunc(tasks, func(a, b store.Task) bool { return a.Seq == b.Seq })), err
}

// movesOf leaves out what is no move.
func movesOf(tasks []store.Task) (found []recorded) {
	for _, t := range tasks {
		var move assets.Move
		if json.Unmarshal(t.Args, &move) == nil {
			found = append(found, recorded{t.ID, move})
		}
	}
	return found
}

// eachTask turns the pages of a query, in the order of a list, until visit returns false. A task that ends meanwhile may come twice.
func eachTask(ctx context.Context, db store.Reader, query store.Query, visit func(store.Task) bool) error {
	query.Limit = store.MaxList
	for {
		page, err := db.List(ctx, query)
		if err != nil {
			return err
		}
		for _, task := range page {
			if !visit(task) {
				return nil
			}
			query.After = task.Place()
		}
		if len(page) < query.Limit {
			return nil
		}
	}
}

// lastOrigin gives the address of the HTTP origin that one of the last tasks reads from, "" if there is none on this machine.
// It is how a demo that is started again knows the port its tasks need.
func lastOrigin(ctx context.Context, db store.Store, runner string) (string, error) {
	newest, err := db.List(ctx, store.Query{Runner: runner, Kind: assets.KindName, Limit: 1})
	if err != nil || len(newest) == 0 {
		return "", err
	}
	var move assets.Move
	_ = json.Unmarshal(newest[0].Args, &move) // what is no move names no origin
	return originOf(move), nil
}

// originOf takes only what an old provider of ours can have: plain HTTP, an address of this machine, a port. A database
// that belongs to something else must not have us listen anywhere.
func originOf(move assets.Move) string {
	source, err := url.Parse(move.Source)
	if err != nil || source.Scheme != "http" {
		return ""
	}
	ip := net.ParseIP(source.Hostname())
	if ip == nil || !ip.IsLoopback() || source.Port() == "" {
		return ""
	}
	return source.Host
}
