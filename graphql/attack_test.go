package graphql_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

// build makes a text of n parts.
func build(n int, part func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(part(i))
	}
	return b.String()
}

// tooLong is how long no refusal may take. It is no measure: each takes some milliseconds, and what is not stopped in time
// takes minutes, or for ever.
const tooLong = 20 * time.Second

func TestAttacksAreRefused(t *testing.T) {
	t.Parallel()
	handler := newHandler(t, graphql.Config{Tasks: store.NewMemory()})
	s := &service{T: t, handler: handler}
	for name, test := range map[string]struct {
		query string
		code  graphql.Code
		limit string
	}{
		"10,000 aliases":            {`{` + build(10_000, func(i int) string { return fmt.Sprintf(`a%d:__typename `, i) }) + `}`, graphql.LimitExceeded, "MaxTokens"},
		"3,000 aliases":             {`{` + build(3_000, func(i int) string { return fmt.Sprintf(`a%d:__typename `, i) }) + `}`, graphql.LimitExceeded, "MaxSelections"},
		"400 aliases at the top":    {`{` + build(400, func(i int) string { return fmt.Sprintf(`a%d:__typename `, i) }) + `}`, graphql.LimitExceeded, "MaxRootFields"},
		"a field 9,000 times":       {`{` + strings.Repeat(`__typename `, 9_000) + `}`, graphql.LimitExceeded, "MaxSelections"},
		"a field a million times":   {`{` + strings.Repeat(`a `, 100_000) + `}`, graphql.LimitExceeded, "MaxTokens"},
		"a megabyte of comments":    {strings.Repeat("#\n", 500_000) + `{__typename}`, graphql.LimitExceeded, "MaxQuery"},
		"many comments":             {strings.Repeat("#\n", 50_000) + `{__typename}`, graphql.LimitExceeded, "MaxTokens"},
		"a long name":               {`{` + strings.Repeat("a", 200_000) + `}`, graphql.BadUserInput, ""},
		"a long value":              {`{tasks(state:[` + strings.Repeat("X", 100) + `]){edges{cursor}}}`, graphql.BadUserInput, ""},
		"a long string":             {`{task(id:"` + strings.Repeat("a", 200_000) + `"){id}}`, graphql.BadUserInput, ""},
		"a wrong field many times":  {`{` + strings.Repeat("a ", 499) + `}`, graphql.BadUserInput, ""},
		"fields that contradict":    {`{task(id:"x"){` + build(480, func(i int) string { return "a:" + []string{"id ", "kind ", "state "}[i%3] }) + `}}`, graphql.BadUserInput, ""},
		"a fragment in itself":      {`{...a} fragment a on Query{...a}`, graphql.BadUserInput, ""},
		"fragments in a circle":     {`{...f0}` + build(100, func(i int) string { return fmt.Sprintf("fragment f%d on Query{...f%d}", i, (i+1)%100) }), graphql.BadUserInput, ""},
		"fragments that double":     {`{...f0}` + doubling(150) + `fragment f150 on Query{a:__type(name:"x"){name} b:task(id:"x"){id}}`, graphql.LimitExceeded, "MaxComplexity"},
		"deep fragments":            {`{__type(name:"x"){...f0}}` + build(100, func(i int) string { return fmt.Sprintf("fragment f%d on __Type{ofType{...f%d}}", i, i+1) }) + `fragment f100 on __Type{name}`, graphql.LimitExceeded, "MaxDepth"},
		"deep nesting":              {`{__type(name:"x"){` + strings.Repeat("ofType{", 100) + "name" + strings.Repeat("}", 102), graphql.LimitExceeded, "MaxDepth"},
		"very deep nesting":         {strings.Repeat("{a", 2_000) + strings.Repeat("}", 2_000), graphql.LimitExceeded, "MaxNesting"},
		"deep lists":                {`{task(id:` + strings.Repeat("[", 2_000) + strings.Repeat("]", 2_000) + `){id}}`, graphql.LimitExceeded, "MaxNesting"},
		"a circle in the schema":    {`{__schema{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}}`, graphql.LimitExceeded, "MaxIntrospectionDepth"},
		"an unknown kind 20 times":  {`{` + build(20, func(i int) string { return fmt.Sprintf(`t%d:tasks(kind:"x",first:1){__typename}`, i) }) + `}`, graphql.LimitExceeded, "MaxComplexity"},
		"long names of types":       {`{` + build(20, func(i int) string { return fmt.Sprintf(`t%d:tasks(first:100){edges{node{...f}}}`, i) }) + `} fragment f on Task{` + build(400, func(i int) string { return fmt.Sprintf(`a%098d:__typename `, i) }) + `}`, graphql.LimitExceeded, "MaxAnswer"},
		"the schema 20 times":       {`{` + build(20, func(i int) string { return fmt.Sprintf(`s%d:__schema{types{fields{args{type{name}defaultValue}}}}`, i) }) + `}`, "", ""},
		"many directives":           {`{__typename` + strings.Repeat(`@skip(if:false)`, 1_400) + `}`, graphql.BadUserInput, ""},
		"many arguments":            {`{task(` + strings.Repeat(`id:"x" `, 3_000) + `){id}}`, graphql.BadUserInput, ""},
		"many fields of an input":   {`mutation{moveAssets(input:{` + build(2_500, func(i int) string { return fmt.Sprintf(`f%d:"x" `, i) }) + `}){id}}`, graphql.BadUserInput, ""},
		"many variables":            {`query(` + build(2_000, func(i int) string { return fmt.Sprintf(`$v%d:ID `, i) }) + `){__typename}`, graphql.BadUserInput, ""},
		"many operations":           {build(499, func(i int) string { return fmt.Sprintf(`query q%d{...f}`, i) }) + `fragment f on Query{__typename}`, graphql.BadUserInput, ""},
		"all tasks with everything": {`{` + build(20, func(i int) string { return fmt.Sprintf(`t%d:tasks(first:100){...all}`, i) }) + `} fragment all on TaskConnection{edges{node{` + build(200, func(i int) string { return fmt.Sprintf(`e%d:history{error} `, i) }) + `}}}`, graphql.LimitExceeded, "MaxComplexity"},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]string{"query": test.query})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			r := s.call(t, string(body))
			if took := time.Since(began); took > tooLong {
				t.Errorf("it took %s", took)
			} else {
				t.Logf("%s: %.150s", took, r.body)
			}
			if r.code() != test.code || !strings.Contains(r.message(), test.limit) {
				t.Errorf("code %q, want %q by %s: %.300s", r.code(), test.code, test.limit, r.body)
			}
			if test.code != "" && len(r.body) > 20_000 || len(r.Errors) > 20 {
				t.Errorf("the refusal has %d bytes and %d errors", len(r.body), len(r.Errors))
			}
		})
	}
}

// What a caller sends must not come back in full: a small request with a large answer would be a lever.
func TestRefusalsAreShort(t *testing.T) {
	t.Parallel()
	s := &service{T: t, handler: newHandler(t, graphql.Config{Tasks: store.NewMemory()})}
	long := strings.Repeat("\u00e4", 100_000)
	for _, test := range []struct{ query, variables string }{
		{`query($v: [TaskState!]) { tasks(state: $v) { edges { cursor } } }`, `{"v": ["` + long + `"]}`},
		{`query($v: Int) { tasks(first: $v) { edges { cursor } } }`, `{"v": "` + long + `"}`},
		{`query($v: Int) { tasks(first: $v) { edges { cursor } } }`, `{"v": "` + strings.Repeat("0", 100_000) + `x"}`},
		{`query($v: ID!) { task(id: $v) { id } }`, `{"v": "` + long + `"}`},
		{`query($v: String) { tasks(kind: $v) { edges { cursor } } }`, `{"v": "` + long + `"}`},
		{`query($v: String) { tasks(after: $v) { edges { cursor } } }`, `{"v": "` + long + `"}`},
		{`mutation($v: [MoveAssetInput!]!) { moveAssets(input: $v) { id } }`, `{"v": [{"` + long + `": 1}]}`},
		{`mutation($v: [MoveAssetInput!]!) { moveAssets(input: $v) { id } }`, `{"v": [{"source": "` + long + `", "destination": "b"}]}`},
	} {
		query, err := json.Marshal(test.query)
		if err != nil {
			t.Fatal(err)
		}
		r := s.call(t, `{"query":`+string(query)+`,"variables":`+test.variables+`}`)
		if len(r.Errors) == 0 || len(r.body) > 2_000 {
			t.Errorf("%s: the answer has %d bytes: %.300s", test.query, len(r.body), r.body)
		}
	}
}

// doubling makes n fragments, each of which uses the next one twice: written out they would be 2ⁿ.
func doubling(n int) string {
	return build(n, func(i int) string { return fmt.Sprintf("fragment f%d on Query{...f%d ...f%d}", i, i+1, i+1) })
}

// What GraphiQL asks about the schema must pass, or there is no page.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	handler := newHandler(t, graphql.Config{Tasks: store.NewMemory()})
	s := &service{T: t, handler: handler}
	body, err := json.Marshal(map[string]string{"query": introspection})
	if err != nil {
		t.Fatal(err)
	}
	r := s.call(t, string(body))
	if len(r.Errors) > 0 {
		t.Fatal(r.body)
	}
	for _, want := range []string{`"moveAssets"`, `"TaskConnection"`, `"RETRYABLE"`, `"Records one task for each asset`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the schema does not show %s", want)
		}
	}
	if strings.Contains(r.body, `"defer"`) {
		t.Errorf("the schema shows @defer, which is not served")
	}
}

// introspection is the question of the usual clients, at their usual depth.
const introspection = `query IntrospectionQuery { __schema {
	description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
	types { ...FullType } directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } }
fragment FullType on __Type { kind name description specifiedByURL isOneOf
	fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
	inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
	enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
	ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`

// Every type and field of ours says what it is.
func TestTheSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	s := &service{T: t, handler: newHandler(t, graphql.Config{Tasks: store.NewMemory()})}
	r := s.call(t, `{"query":"{__schema{types{name description fields{name description args{name description}} inputFields{name description} enumValues{name description}}}}"}`)
	type named struct {
		Name        string
		Description string
		Args        []named
	}
	var schema struct {
		Types []struct {
			named
			Fields, InputFields, EnumValues []named
		}
	}
	if err := json.Unmarshal(r.Data["__schema"], &schema); err != nil {
		t.Fatal(err)
	}
	described := func(where string, all []named) {
		for _, n := range all {
			if n.Description == "" {
				t.Errorf("%s.%s has no description", where, n.Name)
			}
			for _, arg := range n.Args {
				if arg.Description == "" {
					t.Errorf("%s.%s(%s) has no description", where, n.Name, arg.Name)
				}
			}
		}
	}
	for _, kind := range schema.Types {
		if !strings.HasPrefix(kind.Name, "__") {
			described("the schema", []named{kind.named})
			described(kind.Name, kind.Fields)
			described(kind.Name, kind.InputFields)
			described(kind.Name, kind.EnumValues)
		}
	}
}
