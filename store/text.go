package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CleanText makes of an error text or a stack what every database can keep: at most MaxErrorText bytes of valid UTF-8
// without NUL. Each byte that is neither becomes U+FFFD. What is cut off is counted at the end, in bytes of s.
func CleanText(s string) string {
	if len(s) <= MaxErrorText && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	if text, used := cleanPrefix(s, MaxErrorText); used == len(s) {
		return text
	}
	// The room is that of the longest note, so that the note's own length needs no second thought.
	text, used := cleanPrefix(s, MaxErrorText-len(cutNote(len(s))))
	return text + cutNote(len(s)-used)
}

func cutNote(bytes int) string { return fmt.Sprintf("… [%d bytes cut]", bytes) }

// cleanPrefix cleans as much of s as fits into limit bytes, and says how many bytes of s that were. It never looks
// further than that: a message of 10 MB costs no more than one of 64 KiB.
func cleanPrefix(s string, limit int) (text string, used int) {
	var b strings.Builder
	for i, r := range s {
		if r == 0 {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return b.String(), i
		}
		b.WriteRune(r)
	}
	return b.String(), len(s)
}
