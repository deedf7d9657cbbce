package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var p pace
	at := func(seconds int, s status) { p.add(start.Add(time.Duration(seconds)*time.Second), s) }
	check := func(when string, s status, assets, bytes float64, left string) {
		t.Helper()
		gotAssets, gotBytes := p.rates()
		if gotAssets != assets || gotBytes != bytes || p.leftText(s) != left {
			t.Errorf("%s: %v assets/s, %v bytes/s, %q; want %v, %v, %q", when, gotAssets, gotBytes, p.leftText(s), assets, bytes, left)
		}
	}
	s := status{total: 100}
	at(0, s)
	check("at first", s, 0, 0, "")
	s.ended, s.bytes = 10, 1000
	at(5, s)
	check("steady", s, 2, 200, "45s left")
	s.running = 2.5
	at(10, s)
	check("with fractions", s, 1.25, 100, "1m10s left")
	s.listing = true
	check("while it lists", s, 1.25, 100, "")
	s.listing = false
	at(15, s)
	at(20, s)
	check("nothing for the whole window", s, 0, 0, "")
	s.running = 0
	at(21, s)
	check("a fraction is taken back", s, 0, 0, "")
}

func TestFractionStaysInRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := status{
			ended: rapid.IntRange(0, 100).Draw(t, "ended"), total: rapid.IntRange(0, 100).Draw(t, "total"),
			running: rapid.Float64Range(0, 100).Draw(t, "running"),
		}
		if f := s.fraction(); f < 0 || f > 1 {
			t.Errorf("%+v is at %v", s, f)
		}
	})
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9999: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		1_500_000_000: "1.5 GB", 2_000_000_000_000: "2.0 TB", 1 << 62: "4612 PB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %q, want %q", bytes, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 400*time.Millisecond: "59s", 59*time.Second + 600*time.Millisecond: "1m00s",
		61 * time.Second: "1m01s", time.Hour + 5*time.Minute: "1h05m", 999 * time.Hour: "999h00m",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("shortDuration(%s) = %q, want %q", d, got, want)
		}
	}
	for name, want := range map[string]string{
		"img/ü &.svg": "img/ü &.svg", "a\x1b[2J": `"a\x1b[2J"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`, "a\u202eb": `"a\u202eb"`,
	} {
		if got := printable(name); got != want {
			t.Errorf("printable(%q) = %s, want %s", name, got, want)
		}
	}
}
