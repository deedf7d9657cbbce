package graphql_test

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// FuzzCursor: what is taken for a cursor is the one that was given for its place.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "dGFzazox", "YWN0aXZlOjE", "ZW5kZWQ6MQ", "ZW5kZWQ6MDE", "ZW5kZWQ6LTE", "YWN0aXZlOg", "====", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		place, ok := graphql.DecodeCursor(cursor)
		if ok && (place == store.Place{} || graphql.EncodeCursor(place) != cursor) {
			t.Errorf("%q is taken for %v, whose cursor is %q", cursor, place, graphql.EncodeCursor(place))
		}
	})
}

func TestCursorsGoThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		place := store.Place{Seq: rapid.Int64Range(1, math.MaxInt64).Draw(t, "number")}
		if rapid.Bool().Draw(t, "ended") {
			place = store.Place{Pos: place.Seq}
		}
		if got, ok := graphql.DecodeCursor(graphql.EncodeCursor(place)); !ok || got != place {
			t.Errorf("the cursor of %v is decoded as %v, %v", place, got, ok)
		}
	})
}

// FuzzVariables: variables of any form meet the types of every argument.
func FuzzVariables(f *testing.F) {
	queries := []string{
		`query($v: ID!) { task(id: $v) { id } }`,
		`query($v: [TaskState!]) { tasks(state: $v) { edges { cursor } } }`,
		`query($v: TaskState!) { tasks(state: [$v]) { edges { cursor } } }`,
		`query($v: Int) { tasks(first: $v) { edges { cursor } } }`,
		`query($v: Int! = 3) { tasks(first: $v) { edges { cursor } } }`,
		`query($v: String) { tasks(after: $v, kind: $v) { edges { cursor } } }`,
		`query($v: String!) { runner(name: $v) { name } __type(name: $v) { name } }`,
		`query($v: Boolean!) { __typename @include(if: $v) a: __typename @skip(if: $v) }`,
		`mutation($v: [MoveAssetInput!]!) { moveAssets(input: $v) { id } }`,
		`mutation($v: MoveAssetInput!) { moveAssets(input: [$v, $v]) { id } }`,
		`mutation($v: String!) { moveAssets(input: {source: $v, destination: $v}) { id } }`,
		`mutation($v: ID!) { cancelTask(id: $v) { id } retryTask(id: $v) { id } }`,
	}
	for _, seed := range []string{
		`null`, `1`, `-1`, `1.5`, `1e3`, `1e400`, `99999999999999999999`, `"x"`, `"RUNNING"`, `"running"`, `true`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`,
		`["RUNNING","DONE"]`, `{"source":"a","destination":"b"}`, `[{"source":"a","destination":"b"}]`, `{"source":{},"destination":[1]}`,
		`[{"source":"a","destination":"b","__typename":"x"},3]`, `{"":null}`,
	} {
		for i := range queries {
			f.Add(uint(i), seed)
		}
	}
	handler := newHandler(f, graphql.Config{Tasks: store.NewMemory()})
	f.Fuzz(func(t *testing.T, which uint, variable string) {
		if !json.Valid([]byte(variable)) {
			t.Skip()
		}
		query, _ := json.Marshal(queries[which%uint(len(queries))])
		body := `{"query":` + string(query) + `,"variables":{"v":` + variable + `}}`
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newCall(body))
		for _, e := range parseReply(t, w.Code, w.Header(), w.Body.Bytes()).Errors {
			if e.Extensions["code"] == string(graphql.Internal) {
				t.Errorf("%s is a fault of the service: %s", body, w.Body)
			}
		}
	})
}

// FuzzRequest: whatever comes, the answer is JSON with known codes, and it is never a fault of the service.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		small,
		`{"query":"query($s:[TaskState!],$f:Int,$a:String){tasks(state:$s,first:$f,after:$a){edges{node{id}}}}","variables":{"s":["RUNNING"],"f":3,"a":"dGFzazox"}}`,
		`{"query":"mutation($i:[MoveAssetInput!]!){moveAssets(input:$i){id}}","variables":{"i":[{"source":"a","destination":null}]}}`,
		`{"query":"mutation($i:[MoveAssetInput!]!){moveAssets(input:$i){id}}","variables":{"i":{"source":1,"destination":[[]]}}}`,
		`{"query":"query($i:ID!){task(id:$i){history{finishedAt}}}","variables":{"i":1e9}}`,
		`{"query":"query($b:Boolean!){runner(name:\"x\") @skip(if:$b){states{count}}}","variables":{"b":false}}`,
		`{"query":"{__schema{types{fields{name}}} __type(name:\"Task\"){...f}} fragment f on __Type{ofType{name}}"}`,
		`{"query":"query a{x:__typename} mutation b{cancelTask(id:\"\"){id}}","operationName":"b"}`,
		`{"query":"subscription{x}"}`, `{"query":"\"\"\"a\"\"\" {a}"}`, `[]`, `null`, "\xff", `{"query":"{\ud800}"}`,
	} {
		f.Add(seed)
	}
	memory := store.NewMemory()
	insert(f, memory, 3, func(int) string { return "report" })
	handler := newHandler(f, graphql.Config{Tasks: memory})
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newCall(body))
		for _, e := range parseReply(t, w.Code, w.Header(), w.Body.Bytes()).Errors {
			if e.Extensions["code"] == string(graphql.Internal) {
				t.Errorf("%q is a fault of the service: %s", body, w.Body)
			}
		}
	})
}
