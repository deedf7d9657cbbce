// Package gen is what gqlgen makes of schema.graphqls, and the one scalar of that schema which gqlgen does not bring.
package gen

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/99designs/gqlgen/graphql"
)

// MarshalJSON writes a value that is JSON already. Whoever makes it has made sure that it is.
func MarshalJSON(value json.RawMessage) graphql.Marshaler {
	if value == nil {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(value) })
}

// UnmarshalJSON is here because gqlgen wants the pair. No field of the schema takes JSON.
func UnmarshalJSON(any) (json.RawMessage, error) {
	return nil, errors.New("graphql: JSON is not an input")
}
