// Package figures has what the comparisons share: how they sum up what they have measured, and how they publish it.
package figures

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Percentile is the value below which that share of the values lies. There must be at least one.
func Percentile[T float64 | time.Duration](values []T, share float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Round(share*float64(len(sorted)-1)))]
}

// Thousands writes a number as people read it: 12,345.
func Thousands(number float64) string {
	digits := fmt.Sprintf("%.0f", number)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Times writes a ratio with about two digits: 0.83×, 3.1×, 27×.
func Times(ratio float64) string {
	switch {
	case ratio >= 10:
		return fmt.Sprintf("%.0f×", ratio)
	case ratio >= 2:
		return fmt.Sprintf("%.1f×", ratio)
	default: // here a bar of 1.3 must not look kept
		return fmt.Sprintf("%.2f×", ratio)
	}
}

// Processor is what the processor calls itself.
func Processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	if name := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); name != nil {
		return string(name[1])
	}
	return runtime.GOARCH
}

// Verdict is a word for whether a promise is kept.
func Verdict(kept bool) string {
	if kept {
		return "kept"
	}
	return "missed"
}

// Begin and End are the markers of a comparison, between which its tables stand in a file of Markdown.
func Begin(comparison string) string {
	return fmt.Sprintf("<!-- bench-%s begins: written by make bench-%[1]s -->\n", comparison)
}

// End is the second of the two; see [Begin].
func End(comparison string) string { return fmt.Sprintf("<!-- bench-%s ends -->\n", comparison) }

// WriteBetween replaces what stands between the markers of a comparison in a file.
func WriteBetween(path, comparison, text string) error {
	begin, end := Begin(comparison), End(comparison)
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s: there is no %q with a %q after it", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+"\n"+text+"\n"+end+after), 0o600)
}
