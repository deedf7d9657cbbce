package remote

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskrunner-go/taskrunner/internal/fields"
)

// frame is a Request or an Answer of link.proto as it lies in the message of its stream: what it is about is still in the bytes of that. A
// stream carries hundreds of thousands of them in a second, and an object for each part of each would take more time than all else.
type frame struct {
	number  uint64
	runner  []byte // of a request
	what    protowire.Number
	payload []byte           // the message that what says
	unknown protowire.Number // a field that this program does not know, and in which what may be

	withoutOutcome, cancelAtDeadline bool // of a run

	message mem.Buffer // of the last frame of a message: of all of it
}

// What a request is about, by its field in Request.
const (
	askHello   protowire.Number = 3
	askRun     protowire.Number = 4
	askAwait   protowire.Number = 5
	askCancel  protowire.Number = 6
	askMonitor protowire.Number = 7
	askForget  protowire.Number = 8
	askArrived protowire.Number = 9
)

// What an answer is, by its field in Answer.
const (
	isWelcome  protowire.Number = 2
	isAccepted protowire.Number = 3
	isRefused  protowire.Number = 4
	isDone     protowire.Number = 5
	isOutcome  protowire.Number = 6
	isRooms    protowire.Number = 7
	isLeaving  protowire.Number = 8
	isEnded    protowire.Number = 9
)

// form is where a kind of frame has its fields.
type form struct {
	runner                           protowire.Number
	first, last                      protowire.Number // of what it may be about
	withoutOutcome, cancelAtDeadline protowire.Number
}

var (
	requestForm = &form{runner: 2, first: askHello, last: askArrived, withoutOutcome: 10, cancelAtDeadline: 11}
	answerForm  = &form{first: isWelcome, last: isEnded}
)

// number and list are the fields that all forms, and the messages of the stream, have in common.
const (
	fieldNumber protowire.Number = 1
	fieldList   protowire.Number = 1
)

// frames appends those of a message to into. They are parts of data. What it does not know, it passes by: then what is zero.
func (f *form) frames(data []byte, into []frame) ([]frame, error) {
	for r := fields.Read(data); r.Next(); {
		switch r.Key() {
		case fields.Broken:
			return into, fmt.Errorf("%w: %w", ErrInvalid, r.Err)
		case fields.Bytes.Of(fieldList):
			if len(into) >= maxRequests {
				return into, fmt.Errorf("%w: a message with more than %d requests or answers", ErrInvalid, maxRequests)
			}
			into = append(into, frame{})
			if err := f.read(r.Bytes, &into[len(into)-1]); err != nil {
				return into, fmt.Errorf("%w: %w", ErrInvalid, err)
			}
		}
	}
	return into, nil
}

func (f *form) read(data []byte, one *frame) error {
	for r := fields.Read(data); r.Next(); {
		switch k := r.Key(); {
		case k == fields.Broken:
			return r.Err
		case k == fields.Varint.Of(fieldNumber):
			one.number = r.Number
		case k == fields.Varint.Of(f.withoutOutcome):
			one.withoutOutcome = r.Number != 0
		case k == fields.Varint.Of(f.cancelAtDeadline):
			one.cancelAtDeadline = r.Number != 0
		case k == fields.Bytes.Of(f.runner):
			one.runner = r.Bytes
		case k.HasBytes() && k.Field() >= f.first && k.Field() <= f.last:
			one.what, one.payload = k.Field(), r.Bytes
		case k.HasBytes() && k.Field() > f.last:
			one.unknown = k.Field()
		}
	}
	return nil
}

// append puts a frame into the message of a stream.
func (f *form) append(data []byte, one *frame) []byte {
	data = fields.AppendSize(data, fieldList, f.size(one))
	data = fields.AppendVarint(data, fieldNumber, one.number)
	data = fields.AppendBytes(data, f.runner, one.runner)
	data = append(fields.AppendSize(data, one.what, len(one.payload)), one.payload...)
	data = fields.AppendVarint(data, f.withoutOutcome, bit(one.withoutOutcome))
	return fields.AppendVarint(data, f.cancelAtDeadline, bit(one.cancelAtDeadline))
}

func (f *form) size(one *frame) int {
	return fields.SizeVarint(fieldNumber, one.number) + fields.SizeBytes(f.runner, one.runner) + fields.SizeMessage(one.what, len(one.payload)) +
		fields.SizeVarint(f.withoutOutcome, bit(one.withoutOutcome)) + fields.SizeVarint(f.cancelAtDeadline, bit(one.cancelAtDeadline))
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// payloadOf gives the bytes of a message that is not one of the many.
func payloadOf(m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil { // a string that is no text: ours are
		return nil
	}
	return data
}

// decode takes such a message out of a frame.
func (f *frame) decode(m proto.Message) error {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(f.payload, m); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// acceptedPayload is an Accepted, and accepted reads one: there are as many of them as there are runs.
func acceptedPayload(existed, unwatched bool) []byte {
	return fields.AppendVarint(fields.AppendVarint(nil, acceptedExisted, bit(existed)), acceptedUnwatched, bit(unwatched))
}

func (f *frame) accepted() (existed, unwatched bool) {
	for r := fields.Read(f.payload); r.Next(); {
		switch r.Key() {
		case fields.Varint.Of(acceptedExisted):
			existed = r.Number != 0
		case fields.Varint.Of(acceptedUnwatched):
			unwatched = r.Number != 0
		}
	}
	return existed, unwatched
}

// The fields of an Accepted.
const (
	acceptedExisted   protowire.Number = 1
	acceptedUnwatched protowire.Number = 2
)

// arrivedNumbers is the field of an Arrived.
const arrivedNumbers protowire.Number = 1

// numbers calls take with each number of an Arrived.
func (f *frame) numbers(take func(number uint64)) error {
	for r := fields.Read(f.payload); r.Next(); {
		switch r.Key() {
		case fields.Broken:
			return fmt.Errorf("%w: %w", ErrInvalid, r.Err)
		case fields.Varint.Of(arrivedNumbers):
			take(r.Number)
		case fields.Bytes.Of(arrivedNumbers):
			for packed := r.Bytes; len(packed) > 0; {
				number, n := protowire.ConsumeVarint(packed)
				if n < 0 {
					return fmt.Errorf("%w: %w", ErrInvalid, protowire.ParseError(n))
				}
				take(number)
				packed = packed[n:]
			}
		}
	}
	return nil
}

// arrivedPayload is an Arrived with these numbers.
func arrivedPayload(numbers []uint64) []byte {
	size := 0
	for _, n := range numbers {
		size += protowire.SizeVarint(n)
	}
	data := fields.AppendSize(make([]byte, 0, fields.SizeMessage(arrivedNumbers, size)), arrivedNumbers, size)
	for _, n := range numbers {
		data = protowire.AppendVarint(data, n)
	}
	return data
}
