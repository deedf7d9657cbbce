package main

import (
	"fmt"
	"math"
	"time"
)

// status is how far a number of moves has come.
type status struct {
	ended    int     // assets whose outcome is known
	failed   int     // those of them that did not arrive
	running  float64 // the sum of what the running moves have done, each from 0 to 1
	retrying int     // that wait to be tried again
	total    int     // as far as known
	listing  bool    // total still grows
	bytes    int64   // that arrived
}

// done is the number of assets that were moved, with their fractions.
func (s status) done() float64 { return math.Min(float64(s.ended)+s.running, float64(s.total)) }

// fraction is from 0 to 1.
func (s status) fraction() float64 {
	if s.total == 0 {
		return 0
	}
	return s.done() / float64(s.total)
}

// columns say it beside a bar, what matters most first: of constant width, so that nothing jumps.
func (s status) columns(p pace) []string {
	assets, bytes := p.rates()
	columns := []string{
		fmt.Sprintf("%*d/%s", len(s.totalText()), s.ended, s.totalText()),
		fmt.Sprintf("%5s/s", threeDigits(assets)),
		fmt.Sprintf("%10s", p.leftText(s)),
		fmt.Sprintf("%7s", size(s.bytes)),
		fmt.Sprintf("%7s/s", size(int64(bytes))),
	}
	return append(columns, s.troubles()...)
}

// words say it on a plain line.
func (s status) words(p pace) []string {
	assets, bytes := p.rates()
	words := []string{
		fmt.Sprintf("%d of %s assets (%d%%)", s.ended, s.totalText(), int(100*s.fraction())),
		size(s.bytes),
		threeDigits(assets) + " assets/s",
		size(int64(bytes)) + "/s",
	}
	if left := p.leftText(s); left != "" {
		words = append(words, left)
	}
	return append(words, s.troubles()...)
}

// troubles come last and only when there are any: then they may make the line longer.
func (s status) troubles() (words []string) {
	if s.failed > 0 {
		words = append(words, fmt.Sprintf("%d failed", s.failed))
	}
	if s.retrying > 0 {
		words = append(words, fmt.Sprintf("%d retrying", s.retrying))
	}
	return words
}

// totalText says with a plus that there is more to come.
func (s status) totalText() string {
	if s.listing {
		return fmt.Sprintf("%d+", s.total)
	}
	return fmt.Sprint(s.total)
}

// paceWindow is how far back the rate looks: long enough not to jump, short enough to see a change.
const paceWindow = 10 * time.Second

// pace says how fast it goes. Time is passed in.
type pace struct {
	samples []reading // oldest first, none older than paceWindow but the first
}

type reading struct {
	at    time.Time
	done  float64
	bytes int64
}

// add keeps one sample from before the window, or a rate over a slow start would be over nothing.
func (p *pace) add(now time.Time, s status) {
	p.samples = append(p.samples, reading{now, s.done(), s.bytes})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= paceWindow {
		p.samples = p.samples[1:]
	}
}

// rates gives assets and bytes per second within the window.
func (p pace) rates() (assets, bytes float64) {
	if len(p.samples) < 2 {
		return 0, 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	// A move that is tried again takes its fraction back, so that the sum may fall.
	return max(0, (last.done-first.done)/seconds), float64(last.bytes-first.bytes) / seconds
}

// leftText says how long it will take at this pace; nothing while that cannot be known.
func (p pace) leftText(s status) string {
	assets, _ := p.rates()
	if s.listing || assets <= 0 {
		return ""
	}
	left := time.Duration((float64(s.total) - s.done()) / assets * float64(time.Second))
	if left < 0 || left > 1000*time.Hour {
		return ""
	}
	return shortDuration(left) + " left"
}

// shortDuration gives two units at most: 4s, 3m20s, 2h05m.
func shortDuration(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// size gives a number of bytes with three digits at most, in the units of a thousand that disks are sold in.
func size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value := float64(bytes)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if value /= 1000; value < 999.5 {
			return threeDigits(value) + " " + unit
		}
	}
	return threeDigits(value/1000) + " PB"
}

// threeDigits are enough to see a change, and few enough to be read while they change.
func threeDigits(value float64) string {
	if value < 9.95 {
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}
