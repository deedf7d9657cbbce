package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/taskrunner-go/taskrunner/store"
)

// AllowedClient is somebody who may come in with a token, and what it may do. Whoever is one may await and watch the tasks of its
// Runners and Kinds; what else, Run and Cancel say. An AllowedClient is never changed by this package.
type AllowedClient struct {
	// Name tells clients apart: in limits, in logs, and in what is kept for a client until it comes back. Two clients
	// cannot have the same.
	Name string
	// TokenSHA256 are the SHA-256 sums of the client's bearer tokens, each in 64 hexadecimal digits, so that who reads the
	// configuration cannot come in with it:
	//
	//	printf %s "$TOKEN" | sha256sum
	//
	// At least one; two while a token is exchanged for another. Nothing stretches a token that can be guessed: take 32
	// random bytes.
	TokenSHA256 []string
	// Certificate is a DNS name, a URI or the common name that the certificate must have with which the client comes, as it is
	// written there. Empty: any that the TLS trusts. It needs a TLS.
	Certificate string
	// Runners are the names of the runners that the client may reach; "*" is all, empty is none.
	Runners []string
	// Kinds are the kinds of tasks that the client may run and see; "*" is all, empty is none.
	Kinds []string
	// Run allows to run tasks.
	Run bool
	// Cancel allows to cancel tasks, also those that others run.
	Cancel bool
}

// wildcard stands for all runners or all kinds.
const wildcard = "*"

// action is what somebody wants to do with a task or a runner.
type action string

const (
	actionRead   action = "read" // await, watch, monitor
	actionRun    action = "run"
	actionCancel action = "cancel"
)

// permit is what a client may do. Those who read it never change it.
type permit struct {
	name           string
	certificate    string
	runners, kinds nameSet
	run, cancel    bool
}

type nameSet map[string]bool

func (s nameSet) has(name string) bool { return s[wildcard] || s[name] }

func newNameSet(names []string) nameSet {
	set := make(nameSet, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// anything is the permit of those who come in where no clients are configured.
func anything(name string) *permit {
	all := nameSet{wildcard: true}
	return &permit{name: name, runners: all, kinds: all, run: true, cancel: true}
}

// may says whether an action is allowed, for tasks of a kind at a runner. An empty kind means the runner itself,
// whatever its kinds are: whether it is there, and when it ends. The error wraps ErrNotAllowed and says no more than the client
// has asked for.
func (p *permit) may(a action, runner, kind string) error {
	allowed := p.runners.has(runner) && (kind == "" || p.kinds.has(kind))
	switch a {
	case actionRead:
	case actionRun:
		allowed = allowed && p.run
	case actionCancel:
		allowed = allowed && p.cancel
	default:
		allowed = false
	}
	if allowed {
		return nil
	}
	return notAllowed(p.name, a, runner, kind)
}

// same reports whether two permits allow the same to the same.
func (p *permit) same(other *permit) bool {
	return p == other || p.name == other.name && p.run == other.run && p.cancel == other.cancel &&
		maps.Equal(p.runners, other.runners) && maps.Equal(p.kinds, other.kinds)
}

// tokenSum is the SHA-256 of a token. Looking it up in a map takes a time that tells of the sum at most, from which nobody
// can tell the token.
type tokenSum [sha256.Size]byte

func sumOf(token string) tokenSum { return sha256.Sum256([]byte(token)) }

// roll is who may come in.
type roll map[tokenSum]*permit

// rollSource is where clients are written down, for errors.
type rollSource struct {
	where                  func(i int) string // the client with that index stands
	tokens, runners, kinds string             // what the fields are called there
}

// inConfig is a list of clients in a ListenConfig.
var inConfig = rollSource{func(i int) string { return fmt.Sprintf("Clients[%d]", i) }, "TokenSHA256", "Runners", "Kinds"}

// inFile is a list in a file.
func inFile(where func(i int) string) rollSource {
	return rollSource{where, "token_sha256", "runners", "kinds"}
}

// newRoll checks clients. Without TLS nobody has a certificate.
func newRoll(clients []AllowedClient, from rollSource, secure bool) (roll, error) {
	r, names := make(roll, len(clients)), make(map[string]bool, len(clients))
	for i := range clients {
		c := &clients[i]
		err := c.validate(from, secure)
		if err == nil && names[c.Name] {
			err = fmt.Errorf("the name is %q, which another client has already", c.Name)
		}
		if err == nil {
			err = r.add(c, from.tokens)
		}
		if err != nil {
			return nil, fmt.Errorf("remote: %s: %w", from.where(i), err)
		}
		names[c.Name] = true
	}
	return r, nil
}

// validate checks what a client's own fields say.
func (c *AllowedClient) validate(from rollSource, secure bool) error {
	if err := store.ValidName("the name", c.Name); err != nil {
		return err
	}
	switch {
	case len(c.TokenSHA256) == 0:
		return fmt.Errorf("%q has no %s, want at least one", c.Name, from.tokens)
	case c.Certificate != "" && !secure:
		return fmt.Errorf("%q has the certificate %q, want none, because there is no TLS", c.Name, c.Certificate)
	}
	if err := validNames(from.runners, c.Runners); err != nil {
		return err
	}
	return validNames(from.kinds, c.Kinds)
}

func validNames(field string, names []string) error {
	for i, name := range names {
		if err := store.ValidName(fmt.Sprintf("%s[%d]", field, i), name); err != nil {
			return err
		}
	}
	return nil
}

// add puts a client's tokens on the roll. Its errors show no sum: who has it cannot come in, but can tell whether a token that
// is found elsewhere fits.
func (r roll) add(c *AllowedClient, field string) error {
	p := &permit{
		name: c.Name, certificate: c.Certificate, run: c.Run, cancel: c.Cancel,
		runners: newNameSet(c.Runners), kinds: newNameSet(c.Kinds),
	}
	for i, text := range c.TokenSHA256 {
		decoded, err := hex.DecodeString(text)
		if err != nil || len(decoded) != sha256.Size {
			return fmt.Errorf("%q has a %s[%d] of %d bytes, want %d hexadecimal digits", c.Name, field, i, len(text), 2*sha256.Size)
		}
		sum := tokenSum(decoded)
		if sum == sumOf("") {
			return fmt.Errorf("%q has the %s[%d] of an empty token, want that of a token", c.Name, field, i)
		}
		if other := r[sum]; other != nil {
			return fmt.Errorf("%q has the %s[%d] that %q has already", c.Name, field, i, other.name)
		}
		r[sum] = p
	}
	return nil
}

// runnersWithout gives those names of runners that are none of known, each with how many clients have it.
func (r roll) runnersWithout(known nameSet) map[string]int {
	missing, seen := make(map[string]int), make(map[*permit]bool)
	for _, p := range r {
		if seen[p] { // it has two tokens
			continue
		}
		seen[p] = true
		for runner := range p.runners {
			if runner != wildcard && !known[runner] {
				missing[runner]++
			}
		}
	}
	return missing
}
