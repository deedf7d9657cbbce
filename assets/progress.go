package assets

import "io"

const (
	// progressStep is the smallest advance that is reported, as a fraction of the whole, so that there are at most about
	// a hundred reports for each asset.
	progressStep = 0.01
	// progressBytes is the smallest advance that is reported, in bytes: a small asset is done before anybody has looked.
	progressBytes = 256 << 10
)

// meter turns bytes into fractions. Each byte counts twice, on its way here and on its way there. It belongs to one
// goroutine at a time.
type meter struct {
	report   func(fraction float64) // nil if nobody wants to know
	total    int64                  // twice the size; 0 if it is not known
	done     int64
	reported int64
}

// add counts n more bytes.
func (m *meter) add(n int) {
	m.done += int64(n)
	advance := m.done - m.reported
	if m.report == nil || m.total <= 0 || advance < progressBytes || float64(advance) < progressStep*float64(m.total) {
		return
	}
	m.reported = m.done
	// Drivers may read some bytes twice, and only the end is 1.
	m.report(min(float64(m.done)/float64(m.total), 0.99))
}

// finish reports the end.
func (m *meter) finish() {
	if m.report != nil {
		m.report(1)
	}
}

// countingReader tells how many bytes it gave.
type countingReader struct {
	from  io.Reader
	count func(n int)
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.count(n)
	return n, err
}
