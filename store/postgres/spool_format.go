package postgres

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// The format of a spool: the magic number with the version, the identity of the database, and records. A record is the length of what
// follows its checksum, and the checksum, in 4 bytes each; and an outcome.
const (
	spoolMagic  = "TSPOOL1\n"
	spoolHeader = len(spoolMagic) + idSize
	recordHead  = 8
	// maxRecord is about the largest record: a result, an error and a stack.
	maxRecord = store.MaxResult + 2*store.MaxErrorText + 1024
)

func header(database uuid) []byte { return append([]byte(spoolMagic), database[:]...) }

// checkHeader reports whether the spool is one, and of this database: in another, its outcomes would find no tasks and be lost. It may be
// one whose header a crash has torn off.
func checkHeader(content []byte, database uuid) error {
	if bytes.HasPrefix(header(database), content) {
		return nil
	}
	if len(content) < spoolHeader || !bytes.HasPrefix(content, []byte(spoolMagic)) {
		return notSpool(store.ErrInvalid, "it is a file of something else, or a spool of another version")
	}
	if id := uuid(content[len(spoolMagic):spoolHeader]); id != database {
		return notSpool(store.ErrInvalid, "it belongs to another database, or to another schema of this one: that has the identity %s, this one %s", id, database)
	}
	return nil
}

func appendRecordOf(b []byte, o *store.Outcome) []byte {
	start := len(b)
	b = append(b, make([]byte, recordHead)...)
	b = appendOutcome(b, o)
	payload := b[start+recordHead:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(payload)))
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(payload, castagnoli()))
	return b
}

// appendOutcome cuts texts as the database would.
func appendOutcome(b []byte, o *store.Outcome) []byte {
	id := parseID(o.TaskID)
	b = append(b, id[:]...)
	b = binary.AppendVarint(b, o.Run)
	for _, field := range [...]string{string(o.To), string(o.Result), store.CleanText(o.Error), store.CleanText(o.Stack)} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	b = appendTime(b, o.ScheduledAt)
	return appendTime(b, o.FinishedAt)
}

// appendTime writes whether there is a time, and the time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixMicro())
}

// readRecords reads records up to the first that is not whole, and says how many bytes that were.
func readRecords(b []byte) (outcomes []store.Outcome, used int) {
	for {
		rest := b[used:]
		if len(rest) < recordHead {
			return outcomes, used
		}
		size := int(binary.BigEndian.Uint32(rest))
		if size > len(rest)-recordHead {
			return outcomes, used
		}
		payload := rest[recordHead : recordHead+size]
		if crc32.Checksum(payload, castagnoli()) != binary.BigEndian.Uint32(rest[4:]) {
			return outcomes, used
		}
		o, ok := readOutcome(payload)
		if !ok {
			return outcomes, used
		}
		outcomes = append(outcomes, o)
		used += recordHead + size
	}
}

func readOutcome(b []byte) (o store.Outcome, ok bool) {
	if len(b) < idSize {
		return o, false
	}
	r := recordReader{left: b[idSize:]}
	o.TaskID = uuid(b[:idSize]).String()
	o.Run = r.varint()
	o.To, o.Result = store.State(r.bytes()), r.bytes()
	o.Error, o.Stack = string(r.bytes()), string(r.bytes())
	o.ScheduledAt = r.time()
	o.FinishedAt = r.time()
	return o, !r.failed && len(r.left) == 0 && o.Validate() == nil
}

func (r *recordReader) time() time.Time {
	if len(r.left) == 0 || r.left[0] == 0 {
		r.skip(1)
		return time.Time{}
	}
	r.skip(1)
	return time.UnixMicro(r.varint()).UTC()
}
