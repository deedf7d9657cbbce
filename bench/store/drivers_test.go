//go:build !mattn

package store

import _ "modernc.org/sqlite" // the driver of database/sql

// fastDriver is what the other queues on SQLite are measured with. The one in C takes minutes to compile, so it is for those
// who ask for it: make bench-store does.
func fastDriver() sqliteDriver { return sqliteDriver{"sqlite", "modernc.org/sqlite"} }
