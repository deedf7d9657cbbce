// Package postgres is the task store in a PostgreSQL database, 13 or newer: for many processes on one database.
//
// # Promises
//
// Besides those of package store:
//
//   - What Insert and Finish have answered is committed, and synced as far as the server syncs its commits (synchronous_commit).
//   - Tasks that a process takes for itself, and that complete in their first run, cost one row in the end and a share of one row
//     before: they are inserted as bundles. Whatever else happens to such a task, anybody's, first makes it a row of its own.
//   - What calls hand over while a statement is under way is the next statement (group commit). A single Insert is one round trip.
//   - Outcomes are seen in the order of their Pos by everybody, whatever transactions are open: a place is given when nothing but
//     the commit is left to do, and to one transaction at a time.
//   - A node is alive while its lease is: a row whose beat its process raises each second. Who sees, by its own clock, and in working
//     contact with the database, that a beat has not changed for 3 seconds, takes the tasks of that node back. Clocks of others, and
//     the server's, have no part in it; after an outage nobody is dead until those 3 seconds have passed anew. A process that was
//     stopped finds its outcomes refused (store.ErrFenced, *store.StateError) and is told by store.SignalTaken.
//   - A statement whose answer is lost is repeated until its answer is known or the caller's context ends; all of them are such that
//     to do them twice is to do them once. Before, the process of the server that may still be at it is ended.
//   - While the server is away, calls wait as long as their contexts let them, and then answer store.ErrUnavailable with the reason of
//     the context, and with that of the last attempt to reach the server. What was under way then may have happened or not; what would run in this process and nobody waits for is given back
//     within seconds of the server's return.
//   - With a spool (Config.Spool), outcomes given to Finish while the server is away survive the process: they are in the file, synced,
//     before Finish goes on waiting, and are recorded when the server is back, by this process or by the next one that opens a
//     store with the same spool. They are fenced as ever.
//   - What is done in a caller's transaction (Tx, SQLTx) exists exactly if its commit does, and is seen within 100 milliseconds of it.
//   - Schemas of the database have nothing to do with each other: each application has its own.
//
// # Poolers
//
// Behind a pooler that gives out connections by the transaction, set Config.TransactionPooling. The store then uses no prepared
// statements, no LISTEN and nothing else that lives in a session, and polls instead.
//
// # Rights
//
// Who opens a store of a new database needs the right to create a schema there, or in the schema if there is one, and so does who opens
// one whose tables are of an older version, for what is new; afterwards, SELECT, INSERT, UPDATE and DELETE on the tables, and USAGE on the schema and its sequences.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/internal/calls"
)

// Store is a store.Store in a PostgreSQL database. All methods may be called from any goroutine.
type Store struct {
	cfg     Config
	sql     *statements
	pool    *pgxpool.Pool
	ours    bool   // the pool is, and is to be closed
	handle  uuid   // what this store is called in the tables
	id      string // of the database and the schema
	started time.Time

	holders    store.Holders
	contact    contact
	young      *young
	leases     *leases
	teller     *teller
	chores     *chores
	returns    returns
	lostClaims lostClaims
	kinds      kinds
	pruned     pruned
	spool      *spool // nil: there is none
	listening  atomic.Bool

	inserts, knowns *lane[*inserting]
	leaves          *lane[*leaving]
	settles         *lane[*settling]

	life  context.Context // ends when nothing is waited for any more; the cause is store.ErrClosed
	kill  context.CancelCauseFunc
	loops context.Context // ends when Close begins
	stop  context.CancelFunc
	tasks sync.WaitGroup // goroutines besides those of the lanes
	calls *calls.Gate
	once  sync.Once
	err   error // of Close
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the database at the URL (postgres://user:password@host:port/database?setting=value, as libpq knows it),
// and brings its tables up to date. The error is one of store.ErrUnavailable, ErrDenied, ErrSchema, ErrNewerVersion or ErrReadOnly
// where it applies, and never tells the password. Close the store in the end.
func Open(ctx context.Context, url string, cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	pool, err := dial(ctx, url, cfg)
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, pool, true, cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// New is Open with a pool of the caller's, which is lent: the store keeps 6 of its connections, uses others for moments, and does not
// close it. Its limit must be at least 8; what the caller uses for long, transactions above all, comes on top. Connections must not
// have settings of their own that change how statements are read (standard_conforming_strings).
//
// Close the store first, and then the pool, whose Close waits for the connections of the store. If it is called first, the store notices
// within a second and closes itself, so that both end; but it can no longer end its leases, and others take its tasks back only when they
// have seen that it is gone.
func New(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Store, error) {
	if pool == nil {
		return nil, fmt.Errorf("store/postgres: %w: pool is nil: it must be an open pool", store.ErrInvalid)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if most := pool.Config().MaxConns; most < minConnections {
		return nil, fmt.Errorf("store/postgres: the pool has at most %d connections (MaxConns): it must have at least %d", most, minConnections)
	}
	return newStore(ctx, pool, false, cfg)
}

// dial makes the pool. It tries to connect, so that what is wrong is told now.
func dial(ctx context.Context, url string, cfg Config) (*pgxpool.Pool, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(cfg.Connections)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !cfg.TransactionPooling {
		settle(config.ConnConfig.RuntimeParams)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fault("connecting", err)
	}
	return pool, nil
}

const connectTimeout = 5 * time.Second

// settings are those of our connections: statements are not planned anew for each execution, which would take most of the time of a
// small one; and not compiled, which takes longer than it can win. Rows are found by index: to the planner a table of few rows is small,
// but one in which rows come and go is full of dead ones.
func settings() map[string]string {
	return map[string]string{"plan_cache_mode": "force_generic_plan", "jit": "off", "enable_seqscan": "off"}
}

// settle adds the settings that the URL does not have.
func settle(params map[string]string) {
	for name, value := range settings() {
		if _, set := params[name]; !set {
			params[name] = value
		}
	}
}

func newStore(ctx context.Context, pool *pgxpool.Pool, ours bool, cfg Config) (*Store, error) {
	s := &Store{
		cfg: cfg, sql: newStatements(cfg.Schema), pool: pool, ours: ours, handle: newUUID(), started: time.Now(),
		young: newYoung(), leases: newLeases(), teller: newTeller(), chores: newChores(), calls: calls.NewGate(),
	}
	s.contact.logger = cfg.Logger
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	own, err := s.reserve(ctx)
	if err != nil {
		return nil, errors.Join(fault("opening", err), s.closeSpool())
	}
	s.life, s.kill = context.WithCancelCause(context.Background())
	s.loops, s.stop = context.WithCancel(s.life)
	s.startLanes(own[0], own[1], own[2])
	s.startLoops(own[3:])
	s.chores.wake()
	return s, nil
}

// reserve takes the connections that the store keeps, and makes sure that there are some for calls besides: with fewer, a store
// that was opened would stand still.
func (s *Store) reserve(ctx context.Context) (own []*keeper, err error) {
	keep := ownConnections
	if s.cfg.TransactionPooling {
		keep = pooledConnections
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	all, errs := make([]*keeper, keep+callConnections), make([]error, keep+callConnections)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &keeper{lent: lent{s}}
		wg.Go(func() { _, errs[i] = all[i].link(ctx) })
	}
	wg.Wait()
	missing := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(missing) == 0 {
		closeAll(all[keep:])
		return all[:keep], nil
	}
	closeAll(all)
	return nil, fmt.Errorf("the store needs %d connections, of which it got %d: %w", len(all), len(all)-len(missing), missing[0])
}

func closeAll(keepers []*keeper) {
	for _, k := range keepers {
		k.close()
	}
}

// Identity implements store.Store: each schema has one, which was made with its tables.
func (s *Store) Identity() string { return s.id }

// prepare brings the tables up to date, and reads the spool.
func (s *Store) prepare(ctx context.Context) error {
	var database uuid
	err := s.try(ctx, lent{s}, &backend{}, func(ctx context.Context, l *link) error {
		if err := migrate(ctx, l, s.cfg.Schema, newest); err != nil {
			return err
		}
		return l.run(ctx, s.sql.identity.with().each(func(c *columns) { database = c.uuid() }))
	})
	if err != nil {
		return fault("opening", err)
	}
	s.id = fmt.Sprint(database)
	if s.cfg.Spool == "" {
		return nil
	}
	s.spool, err = openSpool(s.cfg.Spool, s.cfg.SpoolBytes, database)
	return err
}

// Statements take at most about so many tasks, unless one call gives more.
const (
	insertRows = 2000
	leaveRows  = maxBundle
)

func (s *Store) startLanes(inserts, leaves, settles *keeper) {
	s.inserts = startLane(s.cfg.Queue, insertRows, s.writeFresh(inserts), inserts.close)
	s.knowns = startLane(s.cfg.Queue, insertRows, s.writeKnown(lent{s}), func() {})
	s.leaves = startLane(s.cfg.Queue, leaveRows, s.writeLeaves(leaves), leaves.close)
	s.settles = startLane(s.cfg.Queue, settleRows, s.writeSettles(settles), settles.close)
}

// startLoops takes what is left of the connections: one for the leases, and, unless a pooler is in between, one to tell and one to
// listen.
func (s *Store) startLoops(own []*keeper) {
	s.tasks.Go(func() { s.keepLeases(s.loops, own[0]) })
	s.tasks.Go(func() { s.keepDoingChores(s.loops) })
	s.tasks.Go(func() { s.keepPolling(s.loops) })
	if s.cfg.TransactionPooling {
		return
	}
	s.tasks.Go(func() { s.keepTelling(s.loops, own[1]) })
	s.tasks.Go(func() { s.keepListening(s.loops, own[2]) })
}

// closePatience is how long Close waits for a server that is away, for the calls that wait for it.
const closePatience = 5 * time.Second

// Close waits for the calls under way, ends the leases, and closes the connections. Tasks that are still running here are taken back,
// so that they run elsewhere at once. If the server is away, the calls that wait for it answer store.ErrClosed after 5 seconds. It is
// idempotent.
func (s *Store) Close() error {
	s.once.Do(func() {
		patience := time.AfterFunc(closePatience, func() { s.kill(store.ErrClosed) })
		defer patience.Stop()
		<-s.calls.Close()
		s.stop()
		s.inserts.stop()
		s.knowns.stop()
		s.leaves.stop()
		s.settles.stop()
		s.leave()
		s.kill(store.ErrClosed)
		s.tasks.Wait()
		s.err = s.closeSpool()
		if s.ours {
			s.pool.Close()
		}
	})
	return s.err
}

func (s *Store) closeSpool() error {
	if s.spool == nil {
		return nil
	}
	return spoolFault(s.spool.path, s.spool.close())
}

// leave ends the leases of this process, and takes back what still runs under them. If that fails, others do it, when they have seen
// that we are gone.
func (s *Store) leave() {
	runners, nodes := s.leases.runners()
	s.leases.removeAll()
	if s.recordLeases(s.life, lent{s}) != nil {
		return
	}
	for i, runner := range runners {
		if _, err := s.recoverNode(s.life, time.Now(), runner, nodes[i]); err != nil {
			return
		}
	}
}

// call does what a caller has asked for, unless the store is closed or the caller's context has ended.
func (s *Store) call(ctx context.Context, doing string, f func() error) error {
	if !s.calls.Enter() {
		return store.ErrClosed
	}
	defer s.calls.Leave()
	if err := ended(ctx); err != nil {
		return fault(doing, err)
	}
	return fault(doing, f())
}

// callJoined is call with a context that also ends when the store gives up waiting.
func (s *Store) callJoined(ctx context.Context, doing string, f func(context.Context) error) error {
	return s.call(ctx, doing, func() error {
		ctx, stop := joined(ctx, s.life)
		defer stop()
		return f(ctx)
	})
}
