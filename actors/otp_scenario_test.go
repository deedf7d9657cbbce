package actors_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// otpScenario is one of testdata/otp/scenarios.txt, where the language is described.
type otpScenario struct {
	name  string
	trees []*otpNode // the outermost processes
	steps []string
}

// otpNode is one declared process.
type otpNode struct {
	kind     string // supervisor, dynamic, tasks, partition, child or client
	name     string
	strategy string
	options  map[string]string
	children []*otpNode
}

func otpReadScenarios(t *testing.T) []otpScenario {
	t.Helper()
	var all []otpScenario
	var path []*otpNode // from the outermost process to the one declared last
	for _, line := range otpReadLines(t, "scenarios.txt") {
		words := strings.Fields(line)
		name, begins := strings.CutPrefix(line, "scenario ")
		if begins {
			all = append(all, otpScenario{name: name})
			path = nil
			continue
		}
		s := &all[len(all)-1]
		if !otpDeclares(words[0]) {
			s.steps = append(s.steps, line)
			continue
		}
		n, depth := otpNewNode(words[0], words[1:]), (len(line)-len(strings.TrimLeft(line, " ")))/2
		if depth == 0 {
			s.trees = append(s.trees, n)
		} else {
			path[depth-1].children = append(path[depth-1].children, n)
		}
		path = append(path[:depth], n)
	}
	return all
}

func otpDeclares(word string) bool {
	switch word {
	case "supervisor", "dynamic", "tasks", "partition", "child", "client":
		return true
	}
	return false
}

func otpNewNode(kind string, words []string) *otpNode {
	n := &otpNode{kind: kind, name: words[0], options: map[string]string{}}
	for _, word := range words[1:] {
		if key, value, ok := strings.Cut(word, "="); ok {
			n.options[key] = value
		} else {
			n.strategy = word
		}
	}
	return n
}

// otpTrace is what happened in a scenario, line by line, or what should have.
type otpTrace struct {
	name  string
	lines []string
}

func otpReadTraces(t *testing.T, file string) []otpTrace {
	t.Helper()
	var all []otpTrace
	for _, line := range otpReadLines(t, file) {
		if name, begins := strings.CutPrefix(line, "scenario "); begins {
			all = append(all, otpTrace{name: name})
		} else {
			last := &all[len(all)-1]
			last.lines = append(last.lines, line)
		}
	}
	return all
}

// otpReadLines leaves out empty lines and comments.
func otpReadLines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "otp", file))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, " \n")
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
