package remote

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	log := newLogBook(t)
	r := newRefusals(slog.New(log))
	now := time.Now()
	for range 3 {
		r.add(now, refusedToken, "10.0.0.1", errors.New("no"))
		r.add(now, refusedToken, "10.0.0.2", nil)
		r.add(now, refusedExpired, "10.0.0.1", nil)
		now = now.Add(refusalWindow/3 - 1)
	}
	if n := log.count("refused", ""); n != 3 {
		t.Errorf("%d lines, want one for each reason of each peer", n)
	}
	r.add(now.Add(3), refusedToken, "10.0.0.1", nil)
	if n := log.count("refused", "10.0.0.1"); n != 3 {
		t.Errorf("%d lines of 10.0.0.1, want 3: a minute is over", n)
	}
	want := map[string]int64{refusedToken: 7, refusedExpired: 3}
	if got := r.snapshot(); !maps.Equal(got, want) {
		t.Errorf("snapshot = %v, want %v", got, want)
	}
}

// A crowd of addresses fills neither the memory nor the log.
func TestRefusalsOfACrowd(t *testing.T) {
	t.Parallel()
	log := newLogBook(t)
	r := newRefusals(slog.New(log))
	now := time.Now()
	const full = "so many are refused that no more are logged for a minute; they are counted"
	for minute := range 2 {
		for i := range 3 * maxTold {
			r.add(now, refusedHandshake, fmt.Sprint(i), nil)
		}
		if lines, told := log.count("refused", ""), log.count(full, ""); lines != (minute+1)*maxTold || told != minute+1 {
			t.Errorf("minute %d: %d lines, and %d that say there are more, want %d and %d", minute, lines, told, (minute+1)*maxTold, minute+1)
		}
		if len(r.told) > maxTold+1 {
			t.Errorf("%d are remembered, want at most %d", len(r.told), maxTold+1)
		}
		now = now.Add(refusalWindow)
	}
	if n := r.snapshot()[refusedHandshake]; n != 6*maxTold {
		t.Errorf("%d are counted, want %d", n, 6*maxTold)
	}
}

func TestWhatARefusalShows(t *testing.T) {
	t.Parallel()
	log := newLogBook(t)
	newRefusals(slog.New(log)).add(time.Now(), refusedCertificate, "peer", errors.New(strings.Repeat("x", 10_000)))
	if n := log.count("refused", strings.Repeat("x", maxRefusalText)+"…"); n != 1 {
		t.Errorf("the line is %v, want a short one", log.lines)
	}
	for want, address := range map[string]net.Addr{
		"unknown":     nil,
		"192.0.2.1":   &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1},
		"2001:db8::1": &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1},
		"/tmp/socket": &net.UnixAddr{Name: "/tmp/socket"},
	} {
		if got := hostOf(address); got != want {
			t.Errorf("hostOf(%v) = %q, want %q", address, got, want)
		}
	}
}

// Whoever finds a reason in the log finds it in the docs, and no other.
func TestReasonsAreInTheDocs(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/remote.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "| Reasons |")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented, written []string
	for _, row := range strings.Split(table, "\n")[2:] {
		for i, word := range strings.Split(strings.Split(row, "|")[1], "`") {
			if i%2 == 1 {
				documented = append(documented, word)
			}
		}
	}
	for _, file := range []string{"refusals.go", "reasons.go"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^\trefused\w+ += "(\w+)"`).FindAllSubmatch(code, -1) {
			written = append(written, string(found[1]))
		}
	}
	slices.Sort(documented)
	slices.Sort(written)
	if len(written) == 0 || !slices.Equal(documented, written) {
		t.Errorf("documented: %q\nwritten: %q", documented, written)
	}
}
