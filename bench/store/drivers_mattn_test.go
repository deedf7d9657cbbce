//go:build mattn

package store

import (
	_ "github.com/mattn/go-sqlite3" // the driver of database/sql
)

func fastDriver() sqliteDriver { return sqliteDriver{"sqlite3", "mattn/go-sqlite3"} }
