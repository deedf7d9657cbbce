package assets_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/assets"
)

// However the bytes come in, they come out the same, from memory or from a file.
func TestSpool(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	m := newMover(t, assets.Config{TempDir: temp})
	readers := map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r },
		"half":  iotest.HalfReader,
		"eof":   iotest.DataErrReader, // the end comes with the last bytes
	}
	rapid.Check(t, func(t *rapid.T) {
		edge, small := assets.SpoolMemory, assets.SmallMemory
		size := rapid.OneOf(rapid.IntRange(0, 1000), rapid.IntRange(small-2, small+2), rapid.IntRange(edge-2, edge+2), rapid.IntRange(2*edge-2, 2*edge+2), rapid.IntRange(0, 5*edge)).Draw(t, "size")
		how := rapid.SampledFrom([]string{"plain", "half", "eof"}).Draw(t, "reader")
		limit := rapid.SampledFrom([]int64{-1, int64(size), int64(size) - 1, 1 << 30}).Draw(t, "limit")
		said := rapid.SampledFrom([]int{-1, size, small - 1, small, 1 << 30}).Draw(t, "said")
		content := bytes.Repeat([]byte{byte(size), byte(size >> 8), 3}, size/3+1)[:size]
		got, sum, inMemory, err := m.Spooled(t.Context(), readers[how](bytes.NewReader(content)), int64(said), limit)
		if limit >= 0 && int64(size) > limit {
			if !errors.Is(err, assets.ErrTooLarge) {
				t.Fatalf("%d bytes with the limit %d: %v, want ErrTooLarge", size, limit, err)
			}
			return
		}
		if err != nil || !bytes.Equal(got, content) || sum != hashOf(string(content)) {
			t.Fatalf("%d bytes became %d (%v)", size, len(got), err)
		}
		if 0 <= said && said < small {
			edge = small // who says less than comes has it in a file
		}
		if inMemory && size > edge || !inMemory && size < edge {
			t.Fatalf("%d bytes, in memory: %t", size, inMemory)
		}
	})
	wantNoTemporary(t, temp)
	broken := errors.New("broken")
	for _, size := range []int64{10, 10 * assets.SpoolMemory} {
		r := io.MultiReader(io.LimitReader(zeros{}, size), iotest.ErrReader(broken))
		if _, _, _, err := m.Spooled(t.Context(), r, -1, -1); !errors.Is(err, broken) {
			t.Errorf("error %v, want that of the reader", err)
		}
	}
	wantNoTemporary(t, temp)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
