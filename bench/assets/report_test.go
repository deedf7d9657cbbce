package assets

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
)

// report is the tables in Markdown.
func (r *run) report(t testing.TB, s *site) (string, error) {
	versions, err := s.versions(t)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s with %s on %d cores (%s): the medians of %d rounds, %s files. %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), figures.Processor(), *rounds,
		figures.Thousands(float64(len(s.files))), versions)
	r.writeResults(&text)
	writeSettings(&text)
	r.writeBars(&text)
	return text.String(), nil
}

// writeResults writes a row for each contender.
func (r *run) writeResults(text *strings.Builder) {
	text.WriteString("| to | transfers | client | files/s | slowest to fastest round | time of ours | CPU s of the client | of the gateway | peak memory, MiB |\n")
	text.WriteString("|---|---:|---|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range contenders() {
		rates := r.each(c, result.rate)
		median := func(of func(result) float64) float64 { return figures.Percentile(r.each(c, of), 0.5) }
		gateway := ""
		if c.to == toS3 {
			gateway = fmt.Sprintf("%.2f", median(func(one result) float64 { return one.gateway.Seconds() }))
		}
		fmt.Fprintf(text, "| %s | %d | %s | **%s** | %s to %s | %s | %.2f | %s | %.0f |\n", c.to, c.transfers, c.name,
			figures.Thousands(figures.Percentile(rates, 0.5)), figures.Thousands(figures.Percentile(rates, 0)), figures.Thousands(figures.Percentile(rates, 1)),
			r.ofOurs(c), median(func(one result) float64 { return one.cpu.Seconds() }), gateway,
			median(func(one result) float64 { return one.memory }))
	}
	text.WriteString("\n")
}

// ofOurs is how many times as long as ours the contender takes.
func (r *run) ofOurs(c contender) string {
	our, ok := r.took(contender{name: ourName, to: c.to, transfers: c.transfers})
	their, also := r.took(c)
	if c.ours || !ok || !also {
		return ""
	}
	return figures.Times(their.Seconds() / our.Seconds())
}

// writeSettings says with which flags rclone was called.
func writeSettings(text *strings.Builder) {
	text.WriteString("The flags of rclone besides `--transfers`:\n\n")
	for _, c := range contenders() {
		if !c.ours && c.transfers == 16 { // they are the same for all transfers
			fmt.Fprintf(text, "- %s to %s: %s\n", c.name, c.to, flagsOf(c))
		}
	}
	text.WriteString("\n")
}

func flagsOf(c contender) string {
	if len(c.settings) == 0 {
		return "none"
	}
	return "`" + strings.Join(c.settings, " ") + "`"
}

func (r *run) writeBars(text *strings.Builder) {
	text.WriteString("What is promised:\n\n| promise | measured | |\n|---|---:|---|\n")
	for _, b := range bars() {
		if got, ok := b.got(r); ok {
			fmt.Fprintf(text, "| %s | %s | %s |\n", b.promise, b.show(got), figures.Verdict(b.kept(got)))
		}
	}
}
