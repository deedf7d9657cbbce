package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// journal is where the processes of one machine note, one after the other, what they do and what they are told. A process that is
// killed leaves in it all that it has noted: from that the next one knows what it was promised, and the judge what was. Any goroutine may write.
type journal struct {
	life int
	mu   sync.Mutex
	file *os.File
}

// openJournal opens the journal for the life of that number, and gives what is in it.
func openJournal(path string, life int) (*journal, []event, error) {
	before, err := readJournal(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	_, err = file.WriteString("\n") // the last line of a process that was killed may be cut: this is not to be its end
	return &journal{life: life, file: file}, before, err
}

// write notes an event, with its time.
func (j *journal) write(e event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Life, e.At = j.life, harness.Monotonic()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil { // nobody would learn of anything
		panic("netchaos: a journal cannot be written: " + err.Error())
	}
}

// readJournal gives all that is in a journal.
func readJournal(path string) (events []event, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	r := reader{lines: bufio.NewReaderSize(file, 64<<10)}
	err = r.read(func(e event) { events = append(events, e) })
	return events, err
}

// reader reads a journal that somebody may be writing.
type reader struct {
	lines *bufio.Reader
	part  []byte // of a line that is not at its end yet
}

// read reads to the end, as it is now. A line that was cut is passed over.
func (r *reader) read(heard func(event)) error {
	for {
		line, err := r.lines.ReadBytes('\n')
		r.part = append(r.part, line...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if json.Unmarshal(bytes.TrimSpace(r.part), &e) == nil && e.What != "" {
			heard(e)
		}
		r.part = r.part[:0]
	}
}
