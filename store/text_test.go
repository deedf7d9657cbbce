package store_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/taskrunner-go/taskrunner/store"
)

func TestCleanText(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"empty", "", ""},
		{"plain", "it failed", "it failed"},
		{"of many lines", "a\r\n\tb", "a\r\n\tb"},
		{"invalid byte", "a\xffb", "a\uFFFDb"},
		{"cut character", "a\xc3", "a\uFFFD"},
		{"two invalid bytes", "\xff\xfe", "\uFFFD\uFFFD"},
		{"NUL", "a\x00b", "a\uFFFDb"},
		{"replacement character", "a\uFFFDb", "a\uFFFDb"},
	}
	for _, c := range cases {
		if got := store.CleanText(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCleanTextCuts(t *testing.T) {
	const limit = store.MaxErrorText
	whole := strings.Repeat("x", limit)
	if got := store.CleanText(whole); got != whole {
		t.Errorf("cut although it fits: %d bytes", len(got))
	}
	got := store.CleanText(whole + "y")
	note := fmt.Sprintf("… [%d bytes cut]", limit+1-strings.Count(got, "x"))
	if len(got) > limit || !strings.HasSuffix(got, note) {
		t.Errorf("%d bytes, ending %q, want %q", len(got), got[len(got)-40:], note)
	}
}

// FuzzCleanText: an error text comes from anywhere.
func FuzzCleanText(f *testing.F) {
	f.Add("it failed", 1)
	f.Add("\xff\x00é🎉", 40_000)
	f.Add("é", store.MaxErrorText/2)
	f.Add("🎉", store.MaxErrorText)
	f.Fuzz(func(t *testing.T, part string, times int) {
		text := strings.Repeat(part, max(0, min(times, 200_000/(len(part)+1))))
		got := store.CleanText(text)
		if len(got) > store.MaxErrorText || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Fatalf("%d bytes, valid: %v", len(got), utf8.ValidString(got))
		}
		if store.CleanText(got) != got {
			t.Fatal("cleaning what is clean changes it")
		}
		clean := utf8.ValidString(text) && !strings.Contains(text, "\x00")
		if clean && len(text) <= store.MaxErrorText && got != text {
			t.Fatal("what can be kept was changed")
		}
		if !clean || len(text) <= store.MaxErrorText {
			return
		}
		kept := strings.LastIndex(got, "… [")
		if want := fmt.Sprintf("… [%d bytes cut]", len(text)-kept); got[kept:] != want || text[:kept] != got[:kept] {
			t.Fatalf("got note %q, want %q", got[kept:], want)
		}
		if len(got) < store.MaxErrorText-8 {
			t.Fatalf("more was cut than needed: %d bytes are left", len(got))
		}
	})
}
