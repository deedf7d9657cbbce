package assets

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
)

// spoolMemory is how much of each asset is kept in memory, in bytes. Most static assets are smaller: on their way to a
// bucket that spares making, writing, reading and removing a file for each. 64 moves at the same time use 8 MiB at most.
const spoolMemory = 128 << 10

// smallMemory is the block for an asset that says that it is smaller. Most icons are: 64 of them at the same time use 1 MiB.
const smallMemory = 16 << 10

// buffers hands out blocks of spoolMemory or smallMemory bytes.
type buffers struct{ large, small sync.Pool }

// get gives a block that a body of this size fits into, if one can; -1 is not known. There is room for one byte more, or the
// end would not be seen by reading.
func (b *buffers) get(size int64) *[]byte {
	pool, length := &b.large, spoolMemory
	if 0 <= size && size < smallMemory {
		pool, length = &b.small, smallMemory
	}
	if block, ok := pool.Get().(*[]byte); ok {
		return block
	}
	block := make([]byte, length)
	return &block
}

func (b *buffers) put(block *[]byte) {
	if len(*block) == smallMemory {
		b.small.Put(block)
	} else {
		b.large.Put(block)
	}
}

// spool is an asset on its way: downloaded, verified, not yet uploaded. It lies in memory if it is small, else in a
// temporary file. It belongs to one goroutine.
type spool struct {
	buffers *buffers
	block   *[]byte // the content if inMemory, else the buffer for copying
	scratch *scratch
	file    *temporary // nil until it is needed
	size    int64
	sums    hashes
	// inMemory says that the block holds all of the content, whether or not there is a file in addition.
	inMemory bool
	// progress, if not nil, is told how many more bytes have been read back on their way to the destination.
	progress func(n int)
}

// newSpool makes a spool for a body that is said to have this size, -1 if nothing is said. If it has another one, it costs
// a file.
func newSpool(b *buffers, size int64, sc *scratch, sums hashes) *spool {
	return &spool{buffers: b, block: b.get(size), scratch: sc, sums: sums}
}

// fill reads all of r. Reading fails with what r said; writing with a scratchError; more than limit bytes with
// ErrTooLarge, unless limit is negative.
func (s *spool) fill(r io.Reader, limit int64) error {
	for {
		n, err := readBlock(r, *s.block)
		_, _ = s.sums.Write((*s.block)[:n])
		s.size += int64(n)
		if limit >= 0 && s.size > limit {
			return failure(ErrTooLarge, "the limit is %d bytes", limit)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		atEnd := err != nil
		if s.inMemory = atEnd && s.file == nil; s.inMemory {
			return nil
		}
		if err := s.append((*s.block)[:n]); err != nil || atEnd {
			return err
		}
	}
}

// readBlock fills block, unless the end or an error comes before. Unlike io.ReadFull it tells a reader's own
// io.ErrUnexpectedEOF, which is a connection that broke, from an ordinary end, which is io.EOF.
func readBlock(r io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil {
		var m int
		m, err = r.Read(block[n:])
		n += m
	}
	return n, err
}

// append writes p to the file, which is made when it is first needed.
func (s *spool) append(p []byte) error {
	if s.file == nil {
		var err error
		if s.file, err = s.scratch.create(); err != nil {
			return err
		}
	}
	if _, err := s.file.Write(p); err != nil {
		return &scratchError{err}
	}
	return nil
}

// memory is the content if inMemory.
func (s *spool) memory() []byte { return (*s.block)[:s.size] }

// sha256 is the hash of the content in hexadecimal.
func (s *spool) sha256() string { return hex.EncodeToString(s.sums.sum(algSHA256)) }

// sniff gives the content type by a look at the first bytes.
func (s *spool) sniff() (string, error) {
	if s.inMemory {
		return http.DetectContentType(s.memory()), nil
	}
	head := make([]byte, 512) // more is never looked at
	n, err := s.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", &scratchError{err}
	}
	return http.DetectContentType(head[:n]), nil
}

// reader reads the content from its start. The first error, also the end of ctx, is given to failed before the reader
// returns it: a driver that takes any error for the end of the content would else keep half an asset.
func (s *spool) reader(ctx context.Context, failed func(error)) *spoolReader {
	r := &spoolReader{ctx: ctx, failed: failed, progress: s.progress}
	if s.inMemory {
		r.from = bytes.NewReader(s.memory())
	} else {
		r.from = io.NewSectionReader(s.file, 0, s.size)
	}
	return r
}

// spoolReader can seek because drivers that know the size in advance choose better parts.
type spoolReader struct {
	ctx      context.Context
	from     io.ReadSeeker
	failed   func(error)
	progress func(int)
}

func (r *spoolReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		r.failed(err)
		return 0, err
	}
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &scratchError{err}
		r.failed(err)
	}
	if r.progress != nil {
		r.progress(n)
	}
	return n, err
}

func (r *spoolReader) Seek(offset int64, whence int) (int64, error) {
	return r.from.Seek(offset, whence)
}

// close gives the memory back and removes the file.
func (s *spool) close() error {
	s.buffers.put(s.block)
	s.block = nil
	if s.file == nil {
		return nil
	}
	return s.file.close()
}
