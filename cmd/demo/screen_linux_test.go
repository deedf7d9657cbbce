package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo-terminal: what is written to tty is what a person would see, and can be read from screen.
func openTerminal(t *testing.T, columns uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// show gives the lines that a terminal shows when it has been sent this text. Of the control sequences it knows those
// that erase within a line, and leaves others visible.
func show(text string) []string {
	lines, line, column := []string{}, []rune{}, 0
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "\x1b[2K"):
			line, text = []rune(strings.Repeat(" ", column)), text[4:]
			continue
		case strings.HasPrefix(text, "\x1b[0K"):
			line, text = line[:min(column, len(line))], text[4:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			column = 0
		case '\n':
			lines, line = append(lines, strings.TrimRight(string(line), " ")), nil
		default:
			for len(line) <= column {
				line = append(line, ' ')
			}
			line[column] = r
			column++
		}
	}
	return append(lines, strings.TrimRight(string(line), " "))
}

func TestShow(t *testing.T) {
	t.Parallel()
	if got := show("one\r\nbar [=>]\x1b[0K\x1b[2K\rtwo\r\nlonger\rxx\x1b[0K"); strings.Join(got, "|") != "one|two|xx" {
		t.Errorf("it shows %q", got)
	}
}

// On a terminal there is a bar, and in the end only whole lines.
func TestBarOnTerminal(t *testing.T) {
	t.Parallel()
	const columns = 60
	terminal, tty := openTerminal(t, columns)
	cmd := command("--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--exit")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdout, cmd.Stderr = tty, tty
	c := launchCommand(t, cmd)
	_ = tty.Close() // the program has its own; without this one the terminal ends with it
	raw, err := io.ReadAll(terminal)
	if err != nil && !errors.Is(err, syscall.EIO) { // so it says on Linux that nobody has the other end any more
		t.Fatal(err)
	}
	if code := c.end(); code != exitOK {
		t.Fatalf("exit code %d: %s", code, raw)
	}
	bars := regexp.MustCompile(`\r +\d+% \[=*>? *\] +\d+/232 [^\r\n]*`).FindAllString(string(raw), -1)
	if len(bars) < 5 {
		t.Errorf("%d bars were drawn: %q", len(bars), raw)
	}
	for _, bar := range bars {
		if width := len([]rune(regexp.MustCompile(`\r|\x1b\[.K`).ReplaceAllString(bar, ""))); width > columns {
			t.Errorf("a bar of %d columns: %q", width, bar)
		}
	}
	lines := show(string(raw))
	whole := regexp.MustCompile(`^((old provider|new provider|database|GraphQL|GraphiQL|moveAssets|failed|copied|unchanged|discarded) .*| +\d+   downloading.*|\d+ arrived .*|220 completed, 12 discarded|)$`)
	for _, line := range lines {
		if !whole.MatchString(line) {
			t.Errorf("the terminal shows %q", line)
		}
	}
	if lines = lines[:len(lines)-1]; lines[len(lines)-1] != lastLineOfDemo {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
}
