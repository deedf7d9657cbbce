package graphql

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// cursorForm is what every cursor begins with before it is encoded. It changes with the form, so that a cursor of an old
// form is refused and not misread.
const cursorForm = "task:"

// encodeCursor makes a cursor that stands for the place behind the task with this Seq.
func encodeCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt([]byte(cursorForm), seq, 10))
}

// decodeCursor gives the Seq in a cursor. It takes only what encodeCursor makes of a Seq that a task can have: one place
// has one cursor.
func decodeCursor(cursor string) (seq int64, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	seq, err = strconv.ParseInt(strings.TrimPrefix(string(text), cursorForm), 10, 64)
	return seq, err == nil && seq > 0 && encodeCursor(seq) == cursor
}
