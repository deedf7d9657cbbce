package store

import "time"

// contenders is everybody who is measured, and how each is used: with what was the fastest of what was tried on two cores.
//
//   - River's own benchmark has 2,000 workers and asks every 2 to 20 ms. On PostgreSQL 500 workers are slower; from 1,000 to
//     10,000, batches of 1,000 to 20,000 and slower polling the processor time for a task differs by less than the noise. One by one,
//     workers and intervals change little. On SQLite the same, and neither polling instead of its notifications nor a client
//     that leads nobody gains anything.
//   - backlite looks at all rows at each fetch, and sleeps 100 ms when it finds no worker free: many workers are good.
//   - goqite's job runner deletes with a time limit of a second, so too high a Limit makes it run messages twice.
//   - An Asynq server takes one task after the other, each with a sync. Four servers have about twice the throughput of one,
//     32 three to six times; 64 have no more.
func contenders() []contender {
	d := fastDriver()
	riverLite := riverTuning{workers: 1000, cooldown: 5 * time.Millisecond, poll: 20 * time.Millisecond}
	riverMany := riverTuning{workers: 5000, cooldown: 20 * time.Millisecond, poll: 100 * time.Millisecond, conns: 8}
	riverOne := riverTuning{workers: 1000, cooldown: 50 * time.Millisecond, poll: 100 * time.Millisecond, conns: 20}
	goqiteMany, goqiteOne := goqiteTuning{driver: d, batch: 1000}, goqiteTuning{driver: d, limit: 50}
	lite := backliteTuning{driver: d, workers: 1000}
	servers := asynqTuning{servers: 32, concurrency: 16, conns: 32}
	one := func(tasks int) load { return load{callers: 16, batch: 1, tasks: tasks} }
	return []contender{
		{name: "taskrunner", engine: onSQLite, ours: true, way: best, call: "RunMany", setup: ourSetup + ", modernc.org/sqlite",
			load: load{callers: 1, batch: 1000, tasks: 200_000}, open: openOurs(oursOnSQLite)},
		{name: "River", engine: onSQLite, way: best, call: "InsertManyFast", setup: riverLite.String() + ", " + d.describe,
			load: load{callers: 1, batch: 1000, tasks: 10_000}, open: riverLite.onSQLite(d)},
		{name: "goqite", engine: onSQLite, way: best, call: "SendTx", setup: goqiteMany.String(),
			load: load{callers: 1, batch: 1000, tasks: 20_000}, open: goqiteMany.open},
		{name: "backlite", engine: onSQLite, way: best, call: "Add", setup: lite.String(),
			load: load{callers: 1, batch: 1000, tasks: 5_000}, open: lite.open},
		{name: "taskrunner", engine: onPostgres, ours: true, way: best, call: "RunMany", setup: ourSetup,
			load: load{callers: 1, batch: 1000, tasks: 100_000}, open: openOurs(oursOnPostgres)},
		{name: "River", engine: onPostgres, way: best, call: "InsertManyFast", setup: riverMany.String(),
			load: load{callers: 1, batch: 5000, tasks: 100_000}, open: riverMany.onPostgres},
		{name: "Asynq", engine: onRedis, way: best, call: "Enqueue", setup: servers.String(),
			load: load{callers: 256, batch: 1, tasks: 20_000}, open: servers.open},

		{name: "taskrunner", engine: onSQLite, ours: true, way: oneByOne, call: "Run", setup: ourSetup + ", modernc.org/sqlite",
			load: one(20_000), open: openOurs(oursOnSQLite)},
		{name: "River", engine: onSQLite, way: oneByOne, call: "Insert", setup: riverLite.String() + ", " + d.describe,
			load: one(3_000), open: riverLite.onSQLite(d)},
		{name: "goqite", engine: onSQLite, way: oneByOne, call: "jobs.Create", setup: goqiteOne.String(),
			load: one(3_000), open: goqiteOne.open},
		{name: "backlite", engine: onSQLite, way: oneByOne, call: "Add", setup: lite.String(),
			load: one(5_000), open: lite.open},
		{name: "taskrunner", engine: onPostgres, ours: true, way: oneByOne, call: "Run", setup: ourSetup,
			load: one(20_000), open: openOurs(oursOnPostgres)},
		{name: "River", engine: onPostgres, way: oneByOne, call: "Insert", setup: riverOne.String(),
			load: one(6_000), open: riverOne.onPostgres},
		{name: "Asynq", engine: onRedis, way: oneByOne, call: "Enqueue", setup: servers.String(),
			load: one(20_000), open: servers.open},
	}
}
