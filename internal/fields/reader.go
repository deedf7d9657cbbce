// Package fields reads and writes messages of protobuf field by field, in their bytes, for the few of which there are so many that an object
// for each, as generated code makes it, would take more time than all else. All other messages have generated code.
package fields

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

var errNumber = errors.New("the number of a field is above the largest that protobuf has")

// Reader goes through the fields of a message.
//
//	for r := fields.Read(data); r.Next(); {
//		switch r.Key() { case name: … r.Bytes …; case fields.Broken: … r.Err … }
//	}
type Reader struct {
	Bytes  []byte // the value of a field that has bytes: a part of the message
	Number uint64 // the value of a field that is a varint
	Err    error  // why the message is broken

	data []byte
	key  Key
	once uint64 // a bit for each number that may come once
	seen uint64 // a bit for each number below 64 that has come
}

// Key tells fields apart by their number and their type: a known number with another type is another field, as in generated code.
type Key uint64

// Broken is the key when the bytes are no message of protobuf. Nothing comes behind it.
const Broken Key = 0

// Bytes and Varint give the key of a field of that number and type.
const (
	Bytes  = Key(protowire.BytesType)
	Varint = Key(protowire.VarintType)
)

// Of gives the key of a field with this number, where k is Bytes or Varint.
func (k Key) Of(number protowire.Number) Key { return Key(number)<<3 | k }

// Field is the number of the field.
func (k Key) Field() protowire.Number { return protowire.Number(k >> 3) }

// HasBytes reports whether the field's type is that of bytes, strings and messages.
func (k Key) HasBytes() bool { return k&7 == Bytes }

// Read begins with the first field.
func Read(data []byte) Reader { return Reader{data: data} }

// Once has a second field with one of these numbers, which are below 64, break the message. Generated code takes the last one, or joins them;
// no encoder writes that, and what is read in two ways is a door for whoever means one thing for the guard and another for those behind it.
func (r Reader) Once(numbers ...protowire.Number) Reader {
	for _, n := range numbers {
		r.once |= 1 << n
	}
	return r
}

// Key is that of the field which Next has found.
func (r *Reader) Key() Key { return r.key }

// Next finds the next field, and reports false if there is none.
func (r *Reader) Next() bool {
	if r.Err != nil || len(r.data) == 0 {
		return false
	}
	field, kind, n := protowire.ConsumeTag(r.data)
	if n < 0 {
		return r.fail(protowire.ParseError(n))
	}
	if field > protowire.MaxValidNumber { // protowire lets it through, and generated code does not
		return r.fail(errNumber)
	}
	bit := uint64(1) << field // none from 64 on
	if r.once&r.seen&bit != 0 {
		return r.fail(fmt.Errorf("field %d comes twice, want it at most once", field))
	}
	r.seen |= bit
	r.key, r.data = Key(kind).Of(field), r.data[n:]
	switch kind {
	case protowire.BytesType:
		r.Bytes, n = protowire.ConsumeBytes(r.data)
	case protowire.VarintType:
		r.Number, n = protowire.ConsumeVarint(r.data)
	default:
		n = protowire.ConsumeFieldValue(field, kind, r.data)
	}
	if n < 0 {
		return r.fail(protowire.ParseError(n))
	}
	r.data = r.data[n:]
	return true
}

func (r *Reader) fail(err error) bool {
	r.key, r.Err = Broken, err
	return true
}
