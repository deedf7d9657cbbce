package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// A process that is killed loses nothing that it has written: the kernel has it. A machine that loses its power may lose all that
// was not synced. This plays the power cut: after a kill it destroys what lies in SQLite's log (-wal) behind the last commit
// that was synced. Where that is, the log's index (-shm) says, which SQLite brings up to date at each commit, after the sync.
// See https://www.sqlite.org/walformat.html for both files.

// Sizes of the two files' parts in bytes.
const (
	walHeader   = 32
	frameHeader = 24
	indexHeader = 48 // there twice
)

// wal is what is known of a log.
type wal struct {
	synced int64 // where what was not synced begins
	size   int64
	half   bool // what lies there was being written when the process died, and is not of an earlier round through the log
}

// readWAL reads the files beside a database. It gives false if they are not there yet, or were being made anew.
func readWAL(database string) (wal, bool, error) {
	log, err := os.Open(database + "-wal")
	if err != nil {
		return wal{}, false, ignoreMissing(err)
	}
	defer func() { _ = log.Close() }() // it was only read
	index, err := os.ReadFile(database + "-shm")
	if err != nil || len(index) < 2*indexHeader {
		return wal{}, false, ignoreMissing(err)
	}
	info, err := log.Stat()
	if err != nil {
		return wal{}, false, err
	}
	header := make([]byte, walHeader)
	if _, err := log.ReadAt(header, 0); err != nil {
		return wal{}, false, nil // an empty log
	}
	salts, page := header[16:24], int64(binary.BigEndian.Uint32(header[8:]))
	frames := max(framesOf(index, salts), framesOf(index[indexHeader:], salts))
	if frames < 0 {
		return wal{}, false, nil
	}
	w := wal{synced: walHeader + frames*(frameHeader+page), size: info.Size()}
	next := make([]byte, frameHeader)
	_, err = log.ReadAt(next, w.synced)
	w.half = err == nil && bytes.Equal(next[8:16], salts)
	return w, w.size > w.synced, nil
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// framesOf is the number of frames of the log which one of the index's headers has for committed; -1 if it is about another log.
func framesOf(header, salts []byte) int64 {
	const initialized, frames, salt = 12, 16, 32 // offsets
	if header[initialized] == 0 || !bytes.Equal(header[salt:salt+8], salts) {
		return -1
	}
	return int64(binary.NativeEndian.Uint32(header[frames:]))
}

// tear destroys what lies behind the place from in one of the ways in which a disk may lose it.
func tear(rng *rand.Rand, database string, from, size int64) (err error) {
	file, err := os.OpenFile(database+"-wal", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
	}()
	middle := from + rng.Int64N(size-from+1)
	switch rng.IntN(4) {
	case 0: // all of it
		return file.Truncate(from)
	case 1: // its end
		return file.Truncate(middle)
	case 2: // all of it is zero
		return overwrite(file, from, size, bytes.NewReader(make([]byte, size-from)))
	default: // its end is what was on the disk before
		return overwrite(file, middle, size, rand.NewChaCha8([32]byte{byte(rng.Uint32())}))
	}
}

func overwrite(file *os.File, from, to int64, with io.Reader) error {
	if _, err := io.Copy(io.NewOffsetWriter(file, from), io.LimitReader(with, to-from)); err != nil {
		return fmt.Errorf("chaos: tear the log: %w", err)
	}
	return nil
}

// tornRound kills the process, and then the power fails.
func tornRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(s.plan.between()))
	s.kill(0)
	path := s.places[0].Path
	w, torn, err := readWAL(path)
	if err != nil || !torn {
		return err
	}
	s.notes.Add("logs torn behind the last synced commit", 1)
	if w.half {
		s.notes.Add("  in the middle of a commit", 1)
	}
	return tear(s.rng, path, w.synced, w.size)
}
