package main

import (
	"fmt"
	"regexp"
	"strings"
)

// spec says which behaviours there are.
type spec struct {
	groups []group
	absent []absence
}

// group is the behaviours of one part of OTP; their ids are its prefix with the numbers from 1 to count.
type group struct {
	prefix, title string
	count         int
}

// absence is a behaviour that has no Go counterpart, and so no test.
type absence struct{ id, behaviour, why string }

// otp gives the 179 behaviours, 177 of which a test holds.
func otp() spec {
	return spec{
		groups: []group{
			{"GS", "GenServer", 40},
			{"TK", "Task", 25},
			{"AS", "Task.async_stream", 13},
			{"TS", "Task.Supervisor", 15},
			{"DS", "DynamicSupervisor", 17},
			{"SV", "Supervisor", 37},
			{"RG", "Registry and names", 14},
			{"PS", "PartitionSupervisor", 8},
			{"SH", "Shutdown order", 10},
		},
		absent: []absence{
			{"GS-21", "a handle_info without a catch-all crashes the server when no clause fits the message.",
				"a Go type switch falls through, so a message that no case of a HandleInfo fits cannot crash the server."},
			{"GS-27", "a value that a callback throws is taken as its return value, and a bad return value stops the server.",
				"callbacks return typed values, and Go has no throw."},
		},
	}
}

// prefixes gives the groups' prefixes as one alternative of a regular expression.
func (s spec) prefixes() string {
	var all []string
	for _, g := range s.groups {
		all = append(all, g.prefix)
	}
	return "(" + strings.Join(all, "|") + ")"
}

// pattern is what go test -run takes to run the tests of all behaviours.
func (s spec) pattern() string { return "Test" + s.prefixes() + "[0-9][0-9]" }

// names fits the name of a function that means to be a behaviour's test, and splits it into the prefix and the rest.
func (s spec) names() *regexp.Regexp {
	return regexp.MustCompile("^Test" + s.prefixes() + "([0-9].*)$")
}

// ids gives the ids of one group in order, those without a counterpart included.
func (g group) ids() []string {
	var ids []string
	for n := range g.count {
		ids = append(ids, fmt.Sprintf("%s-%02d", g.prefix, n+1))
	}
	return ids
}

// reasonAgainst gives the reason why an id has no Go counterpart, "" if it has one.
func (s spec) reasonAgainst(id string) string {
	for _, a := range s.absent {
		if a.id == id {
			return a.why
		}
	}
	return ""
}

// tested counts the ids that need a test.
func (s spec) tested() int {
	n := -len(s.absent)
	for _, g := range s.groups {
		n += g.count
	}
	return n
}
