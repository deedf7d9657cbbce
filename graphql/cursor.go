package graphql

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
)

// What a cursor begins with before it is encoded, for a task that has not ended and for one that has. They change with the form,
// so that a cursor of an old form is refused and not misread.
const (
	activeCursor = "active:"
	endedCursor  = "ended:"
)

// encodeCursor makes a cursor that stands for the place of a task.
func encodeCursor(place store.Place) string {
	text := strconv.AppendInt([]byte(activeCursor), place.Seq, 10)
	if place.Pos > 0 {
		text = strconv.AppendInt([]byte(endedCursor), place.Pos, 10)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor gives the place in a cursor. It takes only what encodeCursor makes of a place that a task can have: one place
// has one cursor.
func decodeCursor(cursor string) (place store.Place, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return place, false
	}
	if number, ended := strings.CutPrefix(string(text), endedCursor); ended {
		place.Pos, err = strconv.ParseInt(number, 10, 64)
	} else {
		place.Seq, err = strconv.ParseInt(strings.TrimPrefix(string(text), activeCursor), 10, 64)
	}
	return place, err == nil && place.Seq >= 0 && place.Pos >= 0 && place != store.Place{} && encodeCursor(place) == cursor
}
