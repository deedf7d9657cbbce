package sqlite

import (
	"fmt"
	"time"
)

// Config says how a store behaves. Its zero value is the documented default of each field.
type Config struct {
	// Queue is how many writes may wait for the writer; the next one waits until there is room or its context ends.
	// 0 is 1024.
	Queue int
	// Readers is how many reads may run at the same time; the next one waits until there is room or its context ends.
	// Each holds a connection, of some 2 MB when it has read much. 0 is 4.
	Readers int
	// BusyTimeout is how long to wait for a lock that another program holds on the database before the answer is
	// store.ErrLocked. 0 is 5 seconds.
	BusyTimeout time.Duration
	// MaxBytes limits the size of the database file; a write for which there is no room answers store.ErrFull. The
	// write-ahead log comes on top. 0 is no limit but the disk's.
	MaxBytes int64
	// TxTimeout is how long InTx lends a transaction; then it is rolled back. All other writes wait meanwhile. 0 is 5 seconds.
	TxTimeout time.Duration
}

const (
	defaultQueue       = 1024
	defaultReaders     = 4
	defaultBusyTimeout = 5 * time.Second
	defaultTxTimeout   = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Queue < 0:
		return c, refuse("Queue", c.Queue)
	case c.Readers < 0:
		return c, refuse("Readers", c.Readers)
	case c.BusyTimeout < 0:
		return c, refuse("BusyTimeout", c.BusyTimeout)
	case c.MaxBytes < 0:
		return c, refuse("MaxBytes", c.MaxBytes)
	case c.TxTimeout < 0:
		return c, refuse("TxTimeout", c.TxTimeout)
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.Readers == 0 {
		c.Readers = defaultReaders
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = defaultBusyTimeout
	}
	if c.TxTimeout == 0 {
		c.TxTimeout = defaultTxTimeout
	}
	return c, nil
}

func refuse(field string, value any) error {
	return fmt.Errorf("store/sqlite: Config.%s is %v: it must not be negative", field, value)
}
