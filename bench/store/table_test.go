package store

import "time"

// contenders is everybody who is measured, each as fast as we could make it on two cores. What was tried stands beside it.
func contenders() []contender {
	c := fastDriver()
	riverPG1 := riverTuning{workers: 1000, cooldown: 50 * time.Millisecond, poll: 100 * time.Millisecond, conns: 20}
	riverPGN := riverTuning{workers: 2000, cooldown: 2 * time.Millisecond, poll: 20 * time.Millisecond, conns: 8}
	riverLite := riverTuning{workers: 1000, cooldown: 50 * time.Millisecond, poll: 100 * time.Millisecond}
	backlite1 := backliteTuning{driver: c, workers: 1000}
	goqite1 := goqiteTuning{driver: c, limit: 1000}
	goqiteN := goqiteTuning{driver: c, batch: 1000}
	asynq1 := asynqTuning{servers: 4, concurrency: 64, conns: 64}
	one := func(tasks int) load { return load{callers: 16, batch: 1, tasks: tasks} }
	return []contender{
		{name: "taskrunner", engine: onSQLite, ours: true, way: best, call: "RunMany", setup: "MaxChildren 10,000",
			load: load{callers: 4, batch: 1000, tasks: 200_000}, open: openOurs(oursOnSQLite, 10_000)},
		{name: "River", engine: onSQLite, way: best, call: "InsertManyFast", setup: riverLite.String() + ", " + c.describe,
			load: load{callers: 1, batch: 5000, tasks: 20_000}, open: riverLite.onSQLite(c)},
		{name: "goqite", engine: onSQLite, way: best, call: "SendTx", setup: goqiteN.String(),
			load: load{callers: 1, batch: 1000, tasks: 20_000}, open: goqiteN.open},
		{name: "backlite", engine: onSQLite, way: best, call: "Add", setup: backlite1.String(),
			load: load{callers: 1, batch: 1000, tasks: 5_000}, open: backlite1.open},
		{name: "River", engine: onPostgres, way: best, call: "InsertManyFast", setup: riverPGN.String(),
			load: load{callers: 1, batch: 5000, tasks: 100_000}, open: riverPGN.onPostgres},
		{name: "Asynq", engine: onRedis, way: best, call: "Enqueue", setup: asynq1.String(),
			load: load{callers: 128, batch: 1, tasks: 20_000}, open: asynq1.open},

		{name: "taskrunner", engine: onSQLite, ours: true, way: oneByOne, call: "Run", setup: "MaxChildren 10,000",
			load: one(20_000), open: openOurs(oursOnSQLite, 10_000)},
		{name: "River", engine: onSQLite, way: oneByOne, call: "Insert", setup: riverLite.String() + ", " + c.describe,
			load: one(3_000), open: riverLite.onSQLite(c)},
		{name: "goqite", engine: onSQLite, way: oneByOne, call: "jobs.Create", setup: goqite1.String(),
			load: one(3_000), open: goqite1.open},
		{name: "backlite", engine: onSQLite, way: oneByOne, call: "Add", setup: backlite1.String(),
			load: one(3_000), open: backlite1.open},
		{name: "River", engine: onPostgres, way: oneByOne, call: "Insert", setup: riverPG1.String(),
			load: one(5_000), open: riverPG1.onPostgres},
		{name: "Asynq", engine: onRedis, way: oneByOne, call: "Enqueue", setup: asynq1.String(),
			load: one(5_000), open: asynq1.open},
	}
}
