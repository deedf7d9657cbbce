package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// ReadClients reads clients from a JSON file: a list of objects, which can have these fields and no others.
//
//	[
//	  {
//	    "name": "billing",
//	    "token_sha256": ["6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"],
//	    "certificate": "billing.example.com",
//	    "runners": ["assets"],
//	    "kinds": ["asset.move"],
//	    "run": true,
//	    "cancel": false
//	  }
//	]
//
// What a file says twice, or wrongly, is an error with the line and the field; so is an empty list, because no clients at all
// would mean that everybody may do everything. It has at most 4 MiB.
func ReadClients(path string) ([]AllowedClient, error) {
	content, err := readFile(namedFile{"the file of clients", path})
	if err != nil {
		return nil, err
	}
	clients, _, err := checkClients(path, content, true)
	return clients, err
}

func checkClients(path string, content []byte, secure bool) ([]AllowedClient, roll, error) {
	clients, where, err := parseClients(path, content)
	if err != nil {
		return nil, nil, err
	}
	r, err := newRoll(clients, inFile(where), secure)
	if err != nil {
		return nil, nil, err
	}
	return clients, r, nil
}

// loadRoll reads a file of clients that is read again when it changes; then look is given what it says.
func loadRoll(path string, secure bool, logger *slog.Logger, look func(roll)) (*reloaded[roll], error) {
	files := []namedFile{{"ClientsFile", path}}
	return loadFiles(logger, time.Now(), files, func(contents [][]byte) (roll, error) {
		_, r, err := checkClients(path, contents[0], secure)
		if err == nil {
			look(r)
		}
		return r, err
	})
}

// clientsParser reads token by token, because json.Unmarshal knows no lines, takes Name for name, and lets the second of two
// equal fields win: "cancel": false would be no promise.
type clientsParser struct {
	path    string
	content []byte
	decoder *json.Decoder
	clients []AllowedClient
	lines   []int // where each client begins
}

// parseClients also gives where the client with an index stands.
func parseClients(path string, content []byte) ([]AllowedClient, func(i int) string, error) {
	p := &clientsParser{path: path, content: content, decoder: json.NewDecoder(bytes.NewReader(content))}
	if err := p.list(); err != nil {
		return nil, nil, fmt.Errorf("remote: %s: %w", p.place(p.line()), err)
	}
	return p.clients, func(i int) string { return p.place(p.lines[i]) }, nil
}

func (p *clientsParser) place(line int) string { return fmt.Sprintf("%s, line %d", p.path, line) }

// line is where the reading has come to.
func (p *clientsParser) line() int {
	return 1 + bytes.Count(p.content[:p.decoder.InputOffset()], []byte("\n"))
}

func (p *clientsParser) list() error {
	if err := p.want(json.Delim('['), "a list of clients"); err != nil {
		return err
	}
	for p.decoder.More() {
		if err := p.client(); err != nil {
			return err
		}
	}
	if err := p.want(json.Delim(']'), "the end of the list"); err != nil {
		return err
	}
	if _, err := p.decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the list, want nothing")
	}
	if len(p.clients) == 0 {
		return errors.New("the list is empty, want at least one client")
	}
	return nil
}

func (p *clientsParser) want(delim json.Delim, what string) error {
	token, err := p.decoder.Token()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the file ends, want %s", what)
	case err != nil:
		return fmt.Errorf("want %s: %w", what, err)
	case token != delim:
		return fmt.Errorf("there is %v, want %s", token, what)
	}
	return nil
}

// clientField is where a field's value goes, and what it has to be.
type clientField struct {
	value any
	want  string
}

func (p *clientsParser) client() error {
	if err := p.want(json.Delim('{'), "a client, as an object"); err != nil {
		return err
	}
	p.lines = append(p.lines, p.line())
	c := AllowedClient{}
	const text, list, flag = "a string", "a list of strings", "true or false"
	fields := map[string]*clientField{
		"name": {&c.Name, text}, "token_sha256": {&c.TokenSHA256, list}, "certificate": {&c.Certificate, text},
		"runners": {&c.Runners, list}, "kinds": {&c.Kinds, list}, "run": {&c.Run, flag}, "cancel": {&c.Cancel, flag},
	}
	seen := make(map[string]bool)
	for p.decoder.More() {
		if err := p.field(fields, seen); err != nil {
			return err
		}
	}
	p.clients = append(p.clients, c)
	return p.want(json.Delim('}'), "the end of the client")
}

// field reads one field. Its value is not shown if it is wrong: a token may stand where its sum should.
func (p *clientsParser) field(fields map[string]*clientField, seen map[string]bool) error {
	token, err := p.decoder.Token()
	if err != nil {
		return fmt.Errorf("want the name of a field: %w", err)
	}
	name, _ := token.(string)
	field := fields[name]
	switch {
	case field == nil:
		return fmt.Errorf("there is a field %.40q, want name, token_sha256, certificate, runners, kinds, run or cancel", name)
	case seen[name]:
		return fmt.Errorf("there is a second %s of the same client, want one", name)
	}
	seen[name] = true
	if err := p.decoder.Decode(field.value); err != nil {
		return fmt.Errorf("%s is something else, want %s", name, field.want)
	}
	return nil
}
