package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
)

const (
	// checkpointPages is how long the log gets, in pages of 4 KiB, before the writer copies it into the database: 16 MB.
	// The default of 1000 makes each task's pages be copied and synced four times as often.
	checkpointPages = 4000
	// fewestPages is what the log may have on the smallest disk.
	fewestPages = 100
	// logBytes is what is left of the log file after a very large transaction.
	logBytes = 64 << 20
	// framePages is how much longer the log gets than it should, by transactions of some pages.
	framePages = 100
	frameBytes = pageSize + 24 // of a page in the log, with its header
)

// useLog switches to the write-ahead log, with which readers and the writer do not wait for each other.
func (c *conn) useLog() error {
	var mode string
	err := c.query(context.Background(), `PRAGMA journal_mode = WAL`, collectText(&mode))
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("this file system cannot do write-ahead logging (the journal mode stays %q); "+
			"network file systems often cannot", mode)
	}
	return nil
}

// truncateLog copies the log into the database and makes it empty, and reports false if a reader was in the way.
func (c *conn) truncateLog() (bool, error) {
	busy, err := c.number(truncateLog)
	return busy == 0, err
}

// logPages is how long the log may get before it is copied: it takes no more than a quarter of a small disk, or it could fill that before
// it was ever copied, and nothing could be copied any more. free is what the disk has for the database and its log; nil: nobody knows.
func (c Config) logPages(free *int64) int {
	bytes := int64(checkpointPages+framePages) * frameBytes
	if c.MaxBytes > 0 {
		bytes = min(bytes, c.MaxBytes)
	}
	if free != nil {
		bytes = min(bytes, *free/4)
	}
	return max(int(bytes/frameBytes)-framePages, fewestPages)
}

// room is what the disk has for the database to grow and for its log, the one that is there included.
func room(path string) *int64 {
	free, known := freeBytes(path)
	if !known {
		return nil
	}
	if info, err := os.Stat(path + "-wal"); err == nil {
		free += info.Size()
	}
	return &free
}

// filledBytes is how long fillLog makes the log.
func filledBytes(pages int) int64 { return int64(pages+framePages) * frameBytes }

// fillLog makes the log file as long as it is going to be, with zeros, which SQLite takes for the end of the log. It is for a file that
// was just opened: nobody may be writing. A commit that writes over blocks which a file has is synced in half the time of one that makes
// the file longer, for which the file system has to find blocks and to write that down: 0.15 ms against 0.3 for three pages on ext4. It takes some 15 ms.
// On a disk without the room the file stays as it was.
func fillLog(path string, size int64) (err error) {
	log, err := os.OpenFile(path+"-wal", os.O_WRONLY, 0) //nolint:gosec // beside the file that we were told to open
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // SQLite has no locks on this one of its files that closing it would drop
	info, err := log.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := info.Size(); at < size; at += int64(len(zeros)) {
		if _, err := log.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return errors.Join(err, log.Truncate(info.Size()))
		}
	}
	return log.Sync()
}
