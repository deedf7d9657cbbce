package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	// barEvery is how often the bar is drawn: often enough to look alive, and too seldom to cost anything.
	barEvery = 100 * time.Millisecond
	// lineEvery is how often a plain line says how far it has come, where there is no terminal to draw on.
	lineEvery = 5 * time.Second
	barWidth  = 24
	// barRoom is what a bar takes at least, with its percentage and spaces; it becomes narrower where there is less room.
	barRoom        = 20
	defaultColumns = 80
	columnGap      = "  "
	// barSteps is finer than a percent, and more than a bar is ever told: the library takes the last step for the end.
	barSteps = 10_000
)

// screen is what a person sees: lines on the standard output, which can be piped, and how far it has come on the standard
// error: as a bar if that is a terminal, else as a plain line now and then. The two never mix. Safe for any goroutine.
type screen struct {
	stdout, stderr io.Writer
	drawn          bool // whether there is a terminal to draw on

	mu  sync.Mutex
	bar *progressbar.ProgressBar // nil unless a bar is on the terminal
}

// newScreen looks at the standard error alone: with the output in a pipe and the terminal in sight, the bar is wanted most.
func newScreen(stdout, stderr io.Writer) *screen {
	return &screen{stdout: stdout, stderr: stderr, drawn: isTerminal(stderr) && os.Getenv("TERM") != "dumb"}
}

// isTerminal is false for what tests give instead of files.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// printf writes whole lines to the standard output. If nobody reads them any more, the work goes on.
func (s *screen) printf(format string, args ...any) { s.write(s.stdout, format, args...) }

// notef writes whole lines to the standard error.
func (s *screen) notef(format string, args ...any) { s.write(s.stderr, format, args...) }

// Write makes the screen the place of a log: its lines are notes.
func (s *screen) Write(line []byte) (int, error) {
	s.notef("%s", line)
	return len(line), nil
}

// write clears the bar first, whichever stream the line is for: both are on the same terminal more often than not.
func (s *screen) write(w io.Writer, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // the next tick draws it again, below the line
	}
	_, _ = fmt.Fprintf(w, format, args...)
}

// watch shows how far it has come until the returned function is called, which waits until nothing is drawn any more.
// look is called from one goroutine.
func (s *screen) watch(look func() status) (stop func()) {
	every := lineEvery
	if s.drawn {
		every = barEvery
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		var speed pace
		speed.add(time.Now(), look())
		for {
			select {
			case now := <-ticker.C:
				seen := look()
				speed.add(now, seen)
				s.show(seen, speed)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
		s.clear()
	}
}

// show draws the bar, or writes the line.
func (s *screen) show(seen status, speed pace) {
	if !s.drawn {
		s.notef("%s\n", strings.Join(seen.words(speed), ", "))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil {
		s.bar = s.newBar()
	}
	// Set draws nothing if the percentage stayed the same; Describe always does.
	_ = s.bar.Set(int(seen.fraction() * (barSteps - 1)))
	s.bar.Describe(fitting(seen.columns(speed), s.columns()-barRoom))
}

// columns is how wide the terminal is now.
func (s *screen) columns() int {
	file, ok := s.stderr.(*os.File)
	if !ok {
		return defaultColumns
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return defaultColumns
	}
	return width
}

// fitting joins as many columns as there is room for, the first ones first. A line that wraps cannot be taken back.
func fitting(columns []string, room int) string {
	for len(columns) > 1 && len(strings.Join(columns, columnGap)) > room {
		columns = columns[:len(columns)-1]
	}
	return strings.Join(columns, columnGap)
}

// newBar makes the bar of plain ASCII: every terminal and every font has it.
func (s *screen) newBar() *progressbar.ProgressBar {
	return progressbar.NewOptions(barSteps,
		progressbar.OptionSetWriter(s.stderr),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionSetPredictTime(false), // pace does that, and knows of fractions and bytes
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionUseANSICodes(true), // overwrites and then clears the rest: what is cleared first flickers
	)
}

// clear takes the bar away.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear()
		s.bar = nil
	}
}

// printable makes a name that somebody else chose fit for a terminal: control characters could write anything there.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(name)
	}
	return name
}
