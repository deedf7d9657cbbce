package fields_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/internal/fields"
)

const (
	someNumber protowire.Number = 3
	someBytes  protowire.Number = 200
)

func TestWhatIsAppendedIsReadAndHasItsSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number, text := rapid.Uint64().Draw(t, "number"), rapid.String().Draw(t, "text")
		data := fields.AppendVarint(nil, someNumber, number)
		if len(data) != fields.SizeVarint(someNumber, number) {
			t.Fatalf("%d bytes, want %d", len(data), fields.SizeVarint(someNumber, number))
		}
		before := len(data)
		data = fields.AppendBytes(data, someBytes, text)
		if len(data)-before != fields.SizeBytes(someBytes, text) {
			t.Fatalf("%d bytes, want %d", len(data)-before, fields.SizeBytes(someBytes, text))
		}
		data = protowire.AppendFixed64(protowire.AppendTag(data, someNumber, protowire.Fixed64Type), 1) // of a known number, and another type
		gotNumber, gotText := uint64(0), ""
		for r := fields.Read(data); r.Next(); {
			switch r.Key() {
			case fields.Varint.Of(someNumber):
				gotNumber = r.Number
			case fields.Bytes.Of(someBytes):
				gotText = string(r.Bytes)
			case fields.Broken:
				t.Fatal(r.Err)
			}
		}
		if gotNumber != number || gotText != text {
			t.Fatalf("%d, %q; want %d, %q", gotNumber, gotText, number, text)
		}
	})
}

func TestKeys(t *testing.T) {
	if k := fields.Bytes.Of(someBytes); k.Field() != someBytes || !k.HasBytes() {
		t.Errorf("field %d, has bytes: %v", k.Field(), k.HasBytes())
	}
	if k := fields.Varint.Of(someNumber); k.Field() != someNumber || k.HasBytes() {
		t.Errorf("field %d, has bytes: %v", k.Field(), k.HasBytes())
	}
}

// TestBrokenBytesEndTheReading, once, and whatever came before was read.
func TestBrokenBytesEndTheReading(t *testing.T) {
	good := fields.AppendVarint(nil, someNumber, 7)
	for name, bad := range map[string][]byte{
		"half a tag":                {0x80},
		"a field with number zero":  {0x00},
		"a tag without a value":     {0x08},
		"bytes that are too short":  {0x0a, 2, 'a'},
		"a group without an end":    {0x0b},
		"the end of no group":       {0x0c},
		"a number that is too high": protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber+1, protowire.VarintType), 1),
	} {
		read, broken := 0, 0
		r := fields.Read(append(slices.Clip(good), bad...))
		for r.Next() {
			if r.Key() == fields.Broken {
				broken++
				continue
			}
			read++
		}
		if read != 1 || broken != 1 || r.Err == nil || r.Next() {
			t.Errorf("%s: %d fields, broken %d times, %v", name, read, broken, r.Err)
		}
	}
}

func TestWhatMayComeOnceBreaksTheMessageWhenItComesAgain(t *testing.T) {
	once := fields.AppendBytes(fields.AppendVarint(nil, someNumber, 1), 1, "a")
	for name, tt := range map[string]struct {
		data   []byte
		fields int
		broken bool
	}{
		"each once":                         {once, 2, false},
		"another one twice":                 {fields.AppendVarint(fields.AppendVarint(once, 2, 1), 2, 1), 4, false},
		"twice":                             {fields.AppendVarint(slices.Clip(once), someNumber, 1), 2, true},
		"twice, with another type":          {fields.AppendBytes(slices.Clip(once), someNumber, "b"), 2, true},
		"the largest twice":                 {fields.AppendVarint(fields.AppendVarint(slices.Clip(once), 63, 1), 63, 1), 3, true},
		"those that are too large to count": {fields.AppendVarint(fields.AppendVarint(slices.Clip(once), 64, 1), 64+1, 1), 4, false},
	} {
		read, broken := 0, false
		for r := fields.Read(tt.data).Once(1, someNumber, 63); r.Next(); {
			if broken = r.Key() == fields.Broken; !broken {
				read++
			}
		}
		if read != tt.fields || broken != tt.broken {
			t.Errorf("%s: %d fields, broken: %v; want %d, %v", name, read, broken, tt.fields, tt.broken)
		}
	}
}

// FuzzRead looks for bytes that it reads otherwise than package protowire, but for numbers of fields that no message can have.
func FuzzRead(f *testing.F) {
	f.Add(fields.AppendBytes(fields.AppendVarint(nil, someNumber, 1), someBytes, "a"))
	f.Add([]byte{0x0b, 0x0c})
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.VarintType), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := fields.Read(data)
		for r.Next() {
			field, kind, n := protowire.ConsumeField(data)
			broken := n < 0 || field > protowire.MaxValidNumber
			if broken != (r.Key() == fields.Broken) {
				t.Fatalf("%v, want %d", r.Err, n)
			}
			if broken {
				return
			}
			if r.Key().Field() != field || r.Key().HasBytes() != (kind == protowire.BytesType) {
				t.Fatalf("key %d, want field %d of type %d", r.Key(), field, kind)
			}
			data = data[n:]
		}
		if len(data) > 0 && r.Err == nil {
			t.Fatalf("%d bytes are left", len(data))
		}
	})
}
