package remote

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// requests draws what a client may ask for, as generated code has it.
func requests(t *rapid.T) *remotepb.ConnectRequest {
	text, number := rapid.StringN(0, 20, 60), rapid.Uint64()
	one := rapid.Custom(func(t *rapid.T) *remotepb.Request {
		r := &remotepb.Request{
			Number: number.Draw(t, "number"), Runner: text.Draw(t, "runner"),
			WithoutOutcome: rapid.Bool().Draw(t, "without"), CancelAtDeadline: rapid.Bool().Draw(t, "cancel"),
		}
		switch rapid.IntRange(int(askHello), int(askArrived)).Draw(t, "what") {
		case int(askHello):
			r.What = &remotepb.Request_Hello{Hello: &remotepb.Hello{Client: text.Draw(t, "client")}}
		case int(askRun):
			r.What = &remotepb.Request_Run{Run: &messages.Envelope{Kind: text.Draw(t, "kind"), Body: []byte(text.Draw(t, "body"))}}
		case int(askAwait):
			r.What = &remotepb.Request_Await{Await: &remotepb.Await{TaskId: text.Draw(t, "id")}}
		case int(askCancel):
			r.What = &remotepb.Request_Cancel{Cancel: &remotepb.Cancel{TaskId: text.Draw(t, "id")}}
		case int(askMonitor):
			r.What = &remotepb.Request_Monitor{Monitor: &remotepb.Monitor{TaskId: text.Draw(t, "id")}}
		case int(askForget):
			r.What = &remotepb.Request_Forget{Forget: &remotepb.Forget{Number: number.Draw(t, "which")}}
		case int(askArrived):
			r.What = &remotepb.Request_Arrived{Arrived: &remotepb.Arrived{Numbers: rapid.SliceOf(number).Draw(t, "numbers")}}
		}
		return r
	})
	return &remotepb.ConnectRequest{Requests: rapid.SliceOfN(one, 0, 5).Draw(t, "requests")}
}

// whatOf is what a request of generated code is about, in bytes.
func whatOf(r *remotepb.Request) (protowire.Number, proto.Message) {
	m := r.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("what"))
	return field.Number(), m.Get(field).Message().Interface()
}

// TestFramesAreWhatTheProtoFileSays compares with generated code, in both directions.
func TestFramesAreWhatTheProtoFileSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := requests(t)
		data, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := requestForm.frames(data, nil)
		if err != nil || len(frames) != len(want.GetRequests()) {
			t.Fatalf("%d frames, %v; want %d", len(frames), err, len(want.GetRequests()))
		}
		var again []byte
		for i, f := range frames {
			r := want.GetRequests()[i]
			what, payload := whatOf(r)
			got := payload.ProtoReflect().New().Interface()
			if err := f.decode(got); err != nil || f.what != what || !proto.Equal(got, payload) {
				t.Fatalf("what: %d with %v, %v; want %d with %v", f.what, got, err, what, payload)
			}
			if f.number != r.GetNumber() || string(f.runner) != r.GetRunner() || f.withoutOutcome != r.GetWithoutOutcome() || f.cancelAtDeadline != r.GetCancelAtDeadline() {
				t.Fatalf("%+v, want %v", f, r)
			}
			again = requestForm.append(again, &f)
		}
		var back remotepb.ConnectRequest
		if err := proto.Unmarshal(again, &back); err != nil || !proto.Equal(&back, want) {
			t.Fatalf("%v, %v; want %v", &back, err, want)
		}
	})
}

func TestAcceptedAndArrivedAreWhatTheProtoFileSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := frame{payload: acceptedPayload(rapid.Bool().Draw(t, "existed"), rapid.Bool().Draw(t, "unwatched"))}
		var accepted remotepb.Accepted
		if err := proto.Unmarshal(f.payload, &accepted); err != nil {
			t.Fatal(err)
		}
		if existed, unwatched := f.accepted(); existed != accepted.GetExisted() || unwatched != accepted.GetUnwatched() {
			t.Fatalf("%v, %v; want %v", existed, unwatched, &accepted)
		}
		numbers := rapid.SliceOfN(rapid.Uint64(), 1, 9).Draw(t, "numbers")
		var arrived remotepb.Arrived
		if err := proto.Unmarshal(arrivedPayload(numbers), &arrived); err != nil || !slices.Equal(arrived.GetNumbers(), numbers) {
			t.Fatalf("%v, %v; want %v", arrived.GetNumbers(), err, numbers)
		}
		var unpacked []byte // as older generators write it
		for _, n := range numbers {
			unpacked = protowire.AppendVarint(protowire.AppendTag(unpacked, arrivedNumbers, protowire.VarintType), n)
		}
		var got []uint64
		f = frame{payload: unpacked}
		if err := f.numbers(func(n uint64) { got = append(got, n) }); err != nil || !slices.Equal(got, numbers) {
			t.Fatalf("%v, %v; want %v", got, err, numbers)
		}
	})
}

// TestFramesOfANewerProgram have fields and things that this one does not know.
func TestFramesOfANewerProgram(t *testing.T) {
	unknown := func(data []byte) []byte {
		data = protowire.AppendVarint(protowire.AppendTag(data, 900, protowire.VarintType), 7)
		data = protowire.AppendBytes(protowire.AppendTag(data, 901, protowire.BytesType), []byte("new"))
		data = protowire.AppendFixed64(protowire.AppendTag(data, 902, protowire.Fixed64Type), 7)
		data = protowire.AppendFixed32(protowire.AppendTag(data, fieldNumber, protowire.Fixed32Type), 7) // known, with another type
		return protowire.AppendGroup(protowire.AppendTag(data, 903, protowire.StartGroupType), 903, nil)
	}
	one := unknown(protowire.AppendVarint(protowire.AppendTag(nil, fieldNumber, protowire.VarintType), 3))
	data := unknown(protowire.AppendBytes(protowire.AppendTag(nil, fieldList, protowire.BytesType), one))
	frames, err := requestForm.frames(data, nil)
	if err != nil || len(frames) != 1 || frames[0].number != 3 || frames[0].what != 0 {
		t.Errorf("%+v, %v", frames, err)
	}
}

func TestMessagesThatAreNoFrames(t *testing.T) {
	many := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, fieldList, protowire.BytesType), nil), maxRequests+1)
	for name, data := range map[string][]byte{
		"a tag without a value":     {0x0a},
		"a length that is too long": {0x0a, 0x7f, 1},
		"a broken frame":            {0x0a, 0x01, 0x0a},
		"a field with number 0":     {0x00, 0x01},
		"a group that has no end":   {0x0b},
		"more than there may be":    many,
	} {
		if _, err := requestForm.frames(data, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := requestForm.frames(many[2:], nil); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
}

// FuzzRequests looks for messages that make the guard or the codec panic.
func FuzzRequests(f *testing.F) {
	envelope, _ := messages.Encode(messages.Run{TaskID: "018f0000-0000-7000-8000-000000000000", Kind: "a", Args: []byte("1")})
	for _, r := range []*remotepb.Request{
		{Number: 1, What: &remotepb.Request_Hello{Hello: &remotepb.Hello{Client: "x"}}},
		{Number: 2, Runner: "r", What: &remotepb.Request_Run{Run: envelope}},
		{Number: 3, What: &remotepb.Request_Arrived{Arrived: &remotepb.Arrived{Numbers: []uint64{1, 2}}}},
		{},
	} {
		data, err := proto.Marshal(&remotepb.ConnectRequest{Requests: []*remotepb.Request{r, r}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint64(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, last uint64) {
		frames, err := requestForm.frames(data, nil)
		if broken := proto.Unmarshal(data, &remotepb.ConnectRequest{}); err != nil && (!errors.Is(err, ErrInvalid) || broken == nil && len(frames) < maxRequests) {
			t.Errorf("%v, of what generated code reads", err)
		}
		highest, err := checkRequests(frames, last)
		if err != nil && !errors.Is(err, ErrInvalid) || highest < last {
			t.Errorf("%d, %v", highest, err)
		}
		for _, f := range frames {
			if parcel, err := messages.ParseParcel(f.payload); err == nil {
				_, _ = parcel.Run()
			}
		}
	})
}
