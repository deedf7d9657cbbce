package graphql

import (
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// leastLoad is what a request that is worked on counts against MaxLoad at least, in bytes.
	leastLoad = 1 << 20
	// loadPerByte and loadPerValue are what is made of a body, for each of its bytes and each value in it. Measured on the
	// live heap: a text counts four times while it is read (the body, the buffer of the decoder that has doubled, the text
	// itself); 100,000 moves of 119 bytes, which are 300,000 values, take 190 to 270 MB until their tasks are recorded, and
	// count as 228 MB. An empty object in a list takes 90 bytes, one with a key 400.
	loadPerByte  = 4
	loadPerValue = 600
	// loadOfAnswer is how often an answer counts: the buffer that it is written to doubles when it is full.
	loadOfAnswer = 2
	// loadStep is by how much the share of a request grows while its answer does, so that not every field asks for room.
	loadStep = 64 << 10
)

// share is what one request holds of MaxLoad. It grows with what has come and with what is made of it, and not with what is
// announced: whoever announces a large body and sends nothing would keep everybody else out.
type share struct {
	load *semaphore.Weighted
	most int64

	mu   sync.Mutex
	held int64
}

// hold has the share be as large as n at least, and reports whether there is room. No share becomes larger than MaxLoad:
// whoever holds all of it is alone, and goes on.
func (s *share) hold(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, s.most)
	if n > s.held {
		if !s.load.TryAcquire(n - s.held) {
			return false
		}
		s.held = n
	}
	return true
}

// shrink gives back what is more than n.
func (s *share) shrink(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < s.held {
		s.load.Release(s.held - n)
		s.held = n
	}
}
