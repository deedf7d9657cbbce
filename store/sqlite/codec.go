package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
)

// What no statement looks for is kept as bytes of our own: the body of a task, the tasks of a bundle, and the history of a
// superseded outcome. A bound value costs 0.06 to 0.25 µs, and a task has twenty; a body of some 200 bytes is written in 0.1.
// Each begins with the version of its encoding. Numbers are varints, times are microseconds since 1970 and relative to the
// first, texts and bytes are preceded by their length. gob and JSON take ten times as long.

const (
	bodyVersion    = 1
	bundleVersion  = 1
	historyVersion = 1
)

// What a body says in one byte.
const (
	bodyCancel   = 1 << iota // the cancel was requested
	bodyHistory              // there are rows of attempts
	bodyProgress             // a progress follows
	bodyStarted              // a start follows
)

// appendBody encodes what of a task has no column. hasHistory says that there are rows of attempts.
func appendBody(b []byte, t *store.Task, hasHistory bool) []byte {
	flags := setIf(bodyCancel, t.CancelRequested) | setIf(bodyHistory, hasHistory) |
		setIf(bodyProgress, t.Progress != 0) | setIf(bodyStarted, !t.StartedAt.IsZero())
	b = append(b, bodyVersion, flags)
	b = binary.AppendUvarint(b, uint64(t.Run))
	b = binary.AppendUvarint(b, uint64(t.Attempt))
	b = binary.AppendUvarint(b, uint64(t.MaxAttempts))
	b = binary.AppendUvarint(b, uint64(t.Priority))
	b = binary.AppendUvarint(b, uint64(t.Timeout.Microseconds()))
	inserted := t.InsertedAt.UnixMicro()
	b = binary.AppendVarint(b, inserted)
	b = binary.AppendVarint(b, t.ScheduledAt.UnixMicro()-inserted)
	if flags&bodyStarted != 0 {
		b = binary.AppendVarint(b, t.StartedAt.UnixMicro()-inserted)
	}
	if flags&bodyProgress != 0 {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(t.Progress))
	}
	b = appendText(b, t.Node)
	return append(b, t.Args...) // the rest
}

func setIf(flag byte, set bool) byte {
	if set {
		return flag
	}
	return 0
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// readBody fills in what appendBody has taken. The task keeps no byte of b.
func readBody(b []byte, t *store.Task) (hasHistory bool, err error) {
	r := reader{rest: b, what: "the body of a task"}
	r.version(bodyVersion)
	flags := r.byte()
	t.CancelRequested = flags&bodyCancel != 0
	t.Run = r.number()
	t.Attempt, t.MaxAttempts, t.Priority = int(r.number()), int(r.number()), int(r.number())
	t.Timeout = r.micros()
	inserted := r.signed()
	t.InsertedAt = time.UnixMicro(inserted).UTC()
	t.ScheduledAt = time.UnixMicro(inserted + r.signed()).UTC()
	if flags&bodyStarted != 0 {
		t.StartedAt = time.UnixMicro(inserted + r.signed()).UTC()
	}
	if flags&bodyProgress != 0 {
		t.Progress = r.float()
	}
	t.Node = string(r.bytes())
	if r.err == nil && len(r.rest) > 0 {
		t.Args = append([]byte(nil), r.rest...)
	}
	return flags&bodyHistory != 0, r.err
}

// encodeBundle encodes the tasks.
func encodeBundle(tasks []*young) []byte {
	const numbers = 40 // more than the other fields need
	size := numbers
	for _, y := range tasks {
		size += numbers + len(y.id) + len(y.key) + len(y.result) + len(y.body)
	}
	b := make([]byte, 0, size)
	b = binary.AppendUvarint(append(b, bundleVersion), uint64(len(tasks)))
	for _, y := range tasks {
		b = append(b, y.id[:]...)
		b = binary.AppendUvarint(b, uint64(y.seq))
		b = binary.AppendUvarint(b, uint64(y.kind))
		b = appendText(b, y.key)
		b = appendText(b, y.result)
		b = appendText(b, y.body)
	}
	return b
}

// readBundle gives the rows of a bundle, which keep b.
func readBundle(b []byte) (rows []row, err error) {
	r := reader{rest: b, what: "a bundle"}
	r.version(bundleVersion)
	for n := r.number(); n > 0 && r.err == nil; n-- {
		var one row
		copy(one.id[:], r.take(len(uuid.UUID{})))
		one.seq, one.kind = r.number(), r.number()
		one.key, one.result, one.body = string(r.bytes()), r.bytes(), r.bytes()
		rows = append(rows, one)
	}
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return rows, nil
}

// appendHistory encodes the history of an outcome that is superseded.
func appendHistory(b []byte, history []store.Attempt) []byte {
	b = binary.AppendUvarint(append(b, historyVersion), uint64(len(history)))
	for i := range history {
		a := &history[i]
		b = binary.AppendUvarint(b, uint64(a.Attempt))
		b = binary.AppendUvarint(b, uint64(a.Run))
		b = append(b, byte(stateCode(a.State)), setIf(bodyStarted, !a.StartedAt.IsZero()))
		if !a.StartedAt.IsZero() {
			b = binary.AppendVarint(b, a.StartedAt.UnixMicro())
		}
		b = binary.AppendVarint(b, a.FinishedAt.UnixMicro())
		b = appendText(appendText(appendText(b, a.Node), a.Error), a.Stack)
	}
	return b
}

func readHistory(b []byte) (history []store.Attempt, err error) {
	r := reader{rest: b, what: "the history of an outcome"}
	r.version(historyVersion)
	for n := r.number(); n > 0 && r.err == nil; n-- {
		a := store.Attempt{Attempt: int(r.number()), Run: r.number(), State: r.state()}
		if r.byte()&bodyStarted != 0 {
			a.StartedAt = time.UnixMicro(r.signed()).UTC()
		}
		a.FinishedAt = time.UnixMicro(r.signed()).UTC()
		a.Node, a.Error, a.Stack = string(r.bytes()), string(r.bytes()), string(r.bytes())
		history = append(history, a)
	}
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return history, nil
}

// reader takes values off the front of bytes. What does not fit comes from a damaged file: the first such value is
// remembered as the error, and all that follow are zero.
type reader struct {
	rest []byte
	what string
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s %s", store.ErrCorrupt, r.what, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

func (r *reader) version(known byte) {
	if v := r.byte(); v != known && r.err == nil {
		r.fail("has version %d", v)
	}
}

// take gives the next n bytes, or as many zeros.
func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("ends too early")
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// number gives a number that is not negative.
func (r *reader) number() int64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > math.MaxInt64 {
		r.fail("has a bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return int64(v)
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail("has a bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) micros() time.Duration {
	v := r.number()
	if v > math.MaxInt64/int64(time.Microsecond) {
		r.fail("has a bad duration")
		return 0
	}
	return time.Duration(v) * time.Microsecond
}

func (r *reader) float() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// bytes gives what a length precedes; nil if that is zero.
func (r *reader) bytes() []byte {
	n := r.number()
	if n == 0 {
		return nil
	}
	if n > int64(len(r.rest)) {
		r.fail("ends too early")
		return nil
	}
	return r.take(int(n))
}

func (r *reader) state() store.State {
	code := r.byte()
	if int(code) >= len(stateCodes) {
		r.fail("has the state %d", code)
		return ""
	}
	return stateCodes[code]
}

func (r *reader) end() {
	if len(r.rest) > 0 {
		r.fail("has %d bytes too many", len(r.rest))
	}
}
