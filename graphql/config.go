package graphql

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// MinToken is the shortest token that is taken, in bytes: what is shorter can be guessed.
const MinToken = 16

// Config says what is served, and to whom. Only Tasks is needed; with nothing else, tasks can be looked at, from this
// machine.
type Config struct {
	// Tasks is where tasks are looked up: the store of all Runners. Whoever may ask sees all tasks in it, also those of
	// other runners.
	Tasks store.Reader

	// Runners are those whose state is shown, and whose tasks can be cancelled and retried. All have Tasks as their store.
	Runners []*actors.TaskRunner

	// MoveRunner is the name of the runner that does what moveAssets asks for; empty is the first of Runners. It knows
	// assets.KindName.
	MoveRunner string

	// CheckMoves says what is wrong with the moves of one request, before any is recorded; an *assets.InputError is told
	// to the caller, field by field. It is needed if there are Runners. Use (*assets.Mover).CheckAll.
	CheckMoves func(moves []assets.Move) error

	// Token is what a caller must have, as in "Authorization: Bearer …": at least MinToken characters of ASCII without
	// spaces. Empty: nobody needs one, and the service is for this machine only.
	Token string

	// Hosts are the names, or name:port, by which callers may ask for the service, besides localhost and plain addresses.
	// A name that is not listed could be one that an attacker points at this machine (DNS rebinding). They need a Token.
	Hosts []string

	// Origins are the origins of web pages elsewhere that may use the service, such as https://admin.example.com. The
	// service's own origin needs no entry.
	Origins []string

	// HideArgs reports whether arguments and results of the kind are not for the eyes of callers: they get null. Results
	// are hidden too because they often repeat the arguments. Nil hides none.
	HideArgs func(kind string) bool

	// ShowStacks lets callers see the stack of a panic in a task, which tells names and line numbers of the program.
	ShowStacks bool

	// Limits are what a request may use; the zero value of each is its default.
	Limits Limits

	// Logger gets what is not the callers' fault; nil: nobody does.
	Logger *slog.Logger
}

// Limits are what a request may use. The zero value of each is its default; none can be switched off.
type Limits struct {
	// MaxBody is the largest body of a request, in bytes; by default 64 MiB, enough for MaxInputs moves with URLs of 300
	// bytes.
	MaxBody int64
	// MaxBodyDepth is how deep objects and lists may be nested in the body; by default 32. Moves in a variable have 4.
	MaxBodyDepth int
	// MaxBodyValues is how many values the body may have: objects, lists, strings, numbers and so on, but not keys. By
	// default 4 for each of MaxInputs and 10,000 more; a move has 3.
	MaxBodyValues int
	// MaxLoad is how much memory all requests under way may take together, in bytes, as far as it can be told beforehand;
	// by default 256 MiB. Of a body counts what has come of it; once it is complete, 4 times its size and 600 bytes for each
	// value in it, and at least 1 MiB, so it limits the number of requests too; and twice the size of the answer, until it
	// is written. A request that alone takes more counts as MaxLoad, so it runs if it is the only one. One for which there
	// is no room is UNAVAILABLE. The process needs more than that: what the store gives does not count, and Go's collector
	// lets the heap grow to twice what is in use (GOGC).
	MaxLoad int64
	// MaxQuery is the longest query text, in bytes; by default 256 KiB. Long input goes into variables.
	MaxQuery int
	// MaxTokens is how many words, numbers, strings and signs the query text may have; by default 10,000.
	MaxTokens int
	// MaxSelections is how many fields and fragments may stand in the query text; by default 500. Checking a query takes
	// time that grows with its square: 500 fields take up to 0.1 s, 10,000 would take 5 s and more.
	MaxSelections int
	// MaxDepth is how deep fields may be nested; by default 20. GraphiQL's question about the schema has 15. Two more
	// limits of this kind cannot be changed: braces and brackets may be nested 1,000 deep (MaxNesting), and the lists of a
	// question about the schema 2 deep (MaxIntrospectionDepth).
	MaxDepth int
	// MaxRootFields is how many fields an operation may have at its top, each of which asks the store; by default 20.
	MaxRootFields int
	// MaxComplexity is how many values the answer may have, counted from the query alone: what is below a list counts as
	// often as the list can be long. By default 2,000,000, enough for 20 fields of each of MaxInputs tasks. A list of tasks
	// of one kind counts a tenth of MaxComplexity besides, because the store may have to look at many others.
	MaxComplexity int
	// MaxInputs is how many moves one moveAssets may have; by default 100,000.
	MaxInputs int
	// MaxFirst is the longest page of tasks; by default 100, from 50 to 999. A task can have 2 MiB and more.
	MaxFirst int
	// MaxAnswer is how large an answer may be, in bytes, where each field counts as 40 and its name and text besides; by
	// default 64 MiB.
	MaxAnswer int64
	// RequestTimeout is how long a request may take to arrive, how long to be worked on, and how long its answer may take
	// to be read; by default 30 s each.
	RequestTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.MoveRunner == "" && len(c.Runners) > 0 && c.Runners[0] != nil {
		c.MoveRunner = c.Runners[0].Name()
	}
	if c.HideArgs == nil {
		c.HideArgs = func(string) bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MaxBody, 64<<20)
	setDefault(&l.MaxLoad, 256<<20)
	setDefault(&l.MaxQuery, 256<<10)
	setDefault(&l.MaxTokens, 10_000)
	setDefault(&l.MaxSelections, 500)
	setDefault(&l.MaxDepth, 20)
	setDefault(&l.MaxRootFields, 20)
	setDefault(&l.MaxComplexity, 2_000_000)
	setDefault(&l.MaxInputs, 100_000)
	setDefault(&l.MaxBodyDepth, 32)
	setDefault(&l.MaxBodyValues, 4*l.MaxInputs+10_000)
	setDefault(&l.MaxFirst, 100)
	setDefault(&l.MaxAnswer, 64<<20)
	setDefault(&l.RequestTimeout, 30*time.Second)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	for _, check := range []func() error{
		c.validateTasks, c.validateToken, c.validateHosts, c.validateOrigins, c.Limits.validate,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// invalid makes the one form that errors of New have.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("graphql: Config.%s %s", field, fmt.Sprintf(format, args...))
}

// validateTasks wants CheckMoves where moves can be started. Without it a caller would choose where the service reaches, and
// nobody would notice that the operator forgot it.
func (c Config) validateTasks() error {
	if c.Tasks == nil {
		return invalid("Tasks", "is nil, want a store")
	}
	names := make(map[string]bool, len(c.Runners))
	for i, runner := range c.Runners {
		switch {
		case runner == nil:
			return invalid(fmt.Sprintf("Runners[%d]", i), "is nil, want a runner")
		case names[runner.Name()]:
			return invalid(fmt.Sprintf("Runners[%d]", i), "has the name %q, which another one has already", runner.Name())
		}
		names[runner.Name()] = true
	}
	if c.MoveRunner != "" && !names[c.MoveRunner] {
		return invalid("MoveRunner", "is %q, want the name of one of Runners", c.MoveRunner)
	}
	if len(c.Runners) > 0 && c.CheckMoves == nil {
		return invalid("CheckMoves", "is nil, want (*assets.Mover).CheckAll: without it callers could reach anything")
	}
	return nil
}

// validateToken does not show the token that it refuses: errors are logged.
func (c Config) validateToken() error {
	switch {
	case c.Token == "":
		return nil
	case len(c.Token) < MinToken:
		return invalid("Token", "has %d bytes, want at least %d", len(c.Token), MinToken)
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("Token", "has a character that cannot be sent in a header, want visible ASCII")
	}
	return nil
}

// validateHosts takes neither patterns nor URLs: what an operator writes there by mistake would silently match nothing, or
// all.
func (c Config) validateHosts() error {
	if len(c.Hosts) > 0 && c.Token == "" {
		return invalid("Hosts", "is %q, want none without a Token: the service is for this machine only", c.Hosts)
	}
	for _, host := range c.Hosts {
		if u, err := url.Parse("http://" + host); err != nil || u.Host != host || u.Hostname() == "" || strings.Contains(host, "*") {
			return invalid("Hosts", "has %q, want names such as tasks.example.com, or name:port", host)
		}
	}
	return nil
}

// validateOrigins takes origins as browsers write them, because they are compared as they are.
func (c Config) validateOrigins() error {
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
			origin != u.Scheme+"://"+strings.ToLower(u.Host) || strings.Contains(origin, "*") {
			return invalid("Origins", "has %q, want origins such as https://admin.example.com, in lower case and no more", origin)
		}
		if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
			return invalid("Origins", "has %q, want it without the port, which browsers leave out because it is the usual one", origin)
		}
	}
	return nil
}

// validate refuses what looks like "no limit": who wants that should say how much it is.
func (l Limits) validate() error {
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"MaxInputs", int64(l.MaxInputs)}, {"MaxBody", l.MaxBody}, {"MaxBodyDepth", int64(l.MaxBodyDepth)},
		{"MaxBodyValues", int64(l.MaxBodyValues)}, {"MaxLoad", l.MaxLoad}, {"MaxQuery", int64(l.MaxQuery)}, {"MaxTokens", int64(l.MaxTokens)},
		{"MaxSelections", int64(l.MaxSelections)}, {"MaxDepth", int64(l.MaxDepth)}, {"MaxRootFields", int64(l.MaxRootFields)},
		{"MaxComplexity", int64(l.MaxComplexity)}, {"MaxFirst", int64(l.MaxFirst)},
		{"MaxAnswer", l.MaxAnswer}, {"RequestTimeout", int64(l.RequestTimeout)},
	} {
		if limit.value < 0 {
			return invalid("Limits."+limit.name, "is %d, want a positive value, or zero for the default", limit.value)
		}
	}
	// A store is asked for one more than the page has, to see whether there is a next one. The schema asks for defaultFirst.
	if l.MaxFirst >= store.MaxList || l.MaxFirst < defaultFirst {
		return invalid("Limits.MaxFirst", "is %d, want %d to %d", l.MaxFirst, defaultFirst, store.MaxList-1)
	}
	if l.MaxLoad < max(l.MaxBody, leastLoad) {
		return invalid("Limits.MaxLoad", "is %d, want at least MaxBody, %d, and at least %d", l.MaxLoad, l.MaxBody, leastLoad)
	}
	return nil
}
