package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// bundle is a row of the table of that name: tasks that one node took for itself at once. Each is in run 1 and attempt 1.
//
// Their encoding is: the ids, of 16 bytes each, so that the server can look for one; the version of what follows; where each
// record begins, behind these numbers, in 4 bytes; the records. A record is the key and the arguments, each with its length
// before it, and the place of its Seq in the block, the priority, the attempts, the timeout and the time of the insertion in
// microseconds, as varints.
type bundle struct {
	id, handle         uuid
	node, runner, kind string
	block              int64 // their Seqs are in the blockSize numbers from blockSize times this
	n                  int
	lo, hi             uuid
	tasks              []byte
}

const (
	// blockSize is how many numbers one drawing of a sequence is good for.
	blockSize = 1024
	// maxBundle is how many tasks a bundle has at most, and bundleBytes about how large it is: a task in it may have to be read
	// by itself.
	maxBundle     = 1000
	bundleBytes   = 1 << 20
	bundleVersion = 1
	idSize        = len(uuid{})
)

// packer makes a bundle.
type packer struct {
	bundle

	starts  []byte
	records []byte
}

// newPacker has room for about n tasks with arguments of this size.
func newPacker(n, size int) *packer {
	p := &packer{starts: make([]byte, 0, 4*n), records: make([]byte, 0, min(n*(size+32), bundleBytes))}
	p.tasks = make([]byte, 0, n*(idSize+4)+1+cap(p.records))
	return p
}

// add adds a task that is inserted as running, and that has this place in the block. It answers false, and does nothing, if the task
// does not belong into this bundle.
func (p *packer) add(t *store.Task, place int) bool {
	if p.n > 0 && (p.n == maxBundle || len(p.records) > bundleBytes || t.Runner != p.runner || t.Kind != p.kind || t.Node != p.node) {
		return false
	}
	id := parseID(t.ID)
	p.tasks = append(p.tasks, id[:]...)
	if p.n == 0 {
		p.runner, p.kind, p.node, p.lo, p.hi = t.Runner, t.Kind, t.Node, id, id
	}
	if less(id, p.lo) {
		p.lo = id
	}
	if less(p.hi, id) {
		p.hi = id
	}
	p.n++
	p.starts = binary.BigEndian.AppendUint32(p.starts, uint32(len(p.records)))
	p.records = appendRecord(p.records, t, place)
	return true
}

func less(a, b uuid) bool { return string(a[:]) < string(b[:]) }

func appendRecord(b []byte, t *store.Task, place int) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.Key)))
	b = append(b, t.Key...)
	b = binary.AppendUvarint(b, uint64(len(t.Args)))
	b = append(b, t.Args...)
	b = binary.AppendUvarint(b, uint64(place))
	b = binary.AppendUvarint(b, uint64(t.Priority))
	b = binary.AppendUvarint(b, uint64(t.MaxAttempts))
	b = binary.AppendUvarint(b, uint64(t.Timeout.Microseconds()))
	return binary.AppendVarint(b, t.InsertedAt.UnixMicro())
}

// pack is the bundle of what was added.
func (p *packer) pack() *bundle {
	b := p.bundle
	b.tasks = append(b.tasks, bundleVersion)
	b.tasks = append(b.tasks, p.starts...)
	b.tasks = append(b.tasks, p.records...)
	return &b
}

// ids gives the ids in their order.
func (b *bundle) ids() []uuid {
	ids := make([]uuid, b.n)
	for i := range ids {
		ids[i] = uuid(b.tasks[i*idSize:])
	}
	return ids
}

// check reports whether the tasks are as long as their number says. It must be called once for what comes from the server.
func (b *bundle) check() error {
	header := b.n*(idSize+4) + 1
	if b.n < 1 || b.n > maxBundle || len(b.tasks) < header {
		return b.damaged("is too short")
	}
	if version := b.tasks[b.n*idSize]; version != bundleVersion {
		return b.damaged(fmt.Sprintf("has version %d", version))
	}
	return nil
}

func (b *bundle) damaged(how string) error {
	return fmt.Errorf("%w: bundle %s %s", errDecode, b.id, how)
}

// task gives the one at this place, as it was inserted.
func (b *bundle) task(i int) (row, error) {
	starts := b.tasks[b.n*idSize+1:]
	records := starts[b.n*4:]
	start := binary.BigEndian.Uint32(starts[i*4:])
	if int(start) > len(records) {
		return row{}, b.damaged("is too short")
	}
	r := recordReader{left: records[start:]}
	t := store.Task{
		ID: uuid(b.tasks[i*idSize:]).String(), Runner: b.runner, Kind: b.kind, Node: b.node,
		State: store.Running, Run: 1, Attempt: 1, Key: string(r.bytes()), Args: r.bytes(), Seq: b.block*blockSize + int64(r.uvarint()),
		Priority: int(r.uvarint()), MaxAttempts: int(r.uvarint()), Timeout: time.Duration(r.uvarint()) * time.Microsecond,
	}
	t.InsertedAt = time.UnixMicro(r.varint()).UTC()
	t.ScheduledAt, t.StartedAt = t.InsertedAt, t.InsertedAt
	if r.failed {
		return row{}, b.damaged("has a record that cannot be read")
	}
	return row{Task: t}, nil
}

// recordReader reads a record.
type recordReader struct {
	left   []byte
	failed bool
}

func (r *recordReader) skip(n int) {
	if n <= 0 || n > len(r.left) {
		r.failed = true
		n = len(r.left)
	}
	r.left = r.left[n:]
}

func (r *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.left)
	r.skip(n)
	return v
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.left)
	r.skip(n)
	return v
}

// bytes is a copy; nil if there are none.
func (r *recordReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.left)) {
		r.failed = true
		return nil
	}
	v := r.left[:n]
	r.left = r.left[n:]
	return append([]byte(nil), v...)
}
