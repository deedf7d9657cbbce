package graphql_test

import (
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	runner := newService(t, nil).runner
	check := func([]assets.Move) error { return nil }
	for _, test := range []struct {
		change func(*graphql.Config)
		words  []string // in the error; none: the config is right
	}{
		{func(*graphql.Config) {}, nil},
		{func(c *graphql.Config) { c.Tasks = nil }, []string{"Tasks", "nil"}},
		{func(c *graphql.Config) { c.Runners, c.CheckMoves = []*actors.TaskRunner{runner}, check }, nil},
		{func(c *graphql.Config) { c.Runners = []*actors.TaskRunner{runner} }, []string{"CheckMoves", "CheckAll"}},
		{func(c *graphql.Config) { c.Runners, c.CheckMoves = []*actors.TaskRunner{nil}, check }, []string{"Runners[0]"}},
		{func(c *graphql.Config) { c.Runners, c.CheckMoves = []*actors.TaskRunner{runner, runner}, check }, []string{"Runners[1]", "assets"}},
		{func(c *graphql.Config) { c.MoveRunner = "nobody" }, []string{"MoveRunner", "nobody"}},
		{func(c *graphql.Config) { c.Token = "0123456789 abcdef" }, []string{"Token", "visible ASCII"}},
		{func(c *graphql.Config) { c.Token = "0123456789abcdef" }, nil},
		{func(c *graphql.Config) { c.Token = "0123456789abcde" }, []string{"Token", "15", "16"}},
		{func(c *graphql.Config) { c.Token = "0123456789abcde\u00e4" }, []string{"Token"}},
		{func(c *graphql.Config) { c.Token = "0123456789abcdef\n" }, []string{"Token"}},
		{func(c *graphql.Config) { c.Hosts = []string{"example.com"} }, []string{"Hosts", "example.com", "Token"}},
		{func(c *graphql.Config) { c.Token, c.Hosts = "0123456789abcdef", []string{"example.com", "a.b:80"} }, nil},
		{func(c *graphql.Config) { c.Token, c.Hosts = "0123456789abcdef", []string{"https://example.com"} }, []string{"Hosts", "https://example.com"}},
		{func(c *graphql.Config) { c.Token, c.Hosts = "0123456789abcdef", []string{""} }, []string{"Hosts"}},
		{func(c *graphql.Config) { c.Token, c.Hosts = "0123456789abcdef", []string{"*.example.com"} }, []string{"Hosts", "*"}},
		{func(c *graphql.Config) { c.Token, c.Hosts = "0123456789abcdef", []string{"example.com/x"} }, []string{"Hosts"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://a.example.com", "http://localhost:3000"} }, nil},
		{func(c *graphql.Config) { c.Origins = []string{"*"} }, []string{"Origins", "*"}},
		{func(c *graphql.Config) { c.Origins = []string{"null"} }, []string{"Origins", "null"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://*.example.com"} }, []string{"Origins"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://a.example.com/"} }, []string{"Origins"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://A.example.com"} }, []string{"Origins"}},
		{func(c *graphql.Config) { c.Origins = []string{"a.example.com"} }, []string{"Origins"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://a.example.com:443"} }, []string{"Origins", ":443", "without the port"}},
		{func(c *graphql.Config) { c.Origins = []string{"http://a.example.com:80"} }, []string{"Origins", "without the port"}},
		{func(c *graphql.Config) { c.Origins = []string{"https://a.example.com:80", "http://[::1]:443"} }, nil},
		{func(c *graphql.Config) { c.Limits.MaxBodyDepth = -1 }, []string{"Limits.MaxBodyDepth", "-1"}},
		{func(c *graphql.Config) { c.Limits.MaxBodyValues = -1 }, []string{"Limits.MaxBodyValues", "-1"}},
		{func(c *graphql.Config) { c.Limits.MaxInputs = -1 }, []string{"Limits.MaxInputs", "-1"}},
		{func(c *graphql.Config) { c.Limits.RequestTimeout = -1 }, []string{"Limits.RequestTimeout", "-1"}},
		{func(c *graphql.Config) { c.Limits.MaxFirst = 999 }, nil},
		{func(c *graphql.Config) { c.Limits.MaxFirst = 1000 }, []string{"Limits.MaxFirst", "1000", "999"}},
		{func(c *graphql.Config) { c.Limits.MaxFirst = 49 }, []string{"Limits.MaxFirst", "49", "50"}},
		{func(c *graphql.Config) { c.Limits.MaxBody = 1 << 40 }, []string{"Limits.MaxLoad", "MaxBody"}},
		{func(c *graphql.Config) { c.Limits.MaxLoad = 1 }, []string{"Limits.MaxLoad"}},
	} {
		config := graphql.Config{Tasks: store.NewMemory()}
		test.change(&config)
		_, err := graphql.New(config)
		if (err == nil) != (len(test.words) == 0) {
			t.Errorf("New: %v, want %q in the error", err, test.words)
			continue
		}
		for _, word := range test.words {
			if !strings.HasPrefix(err.Error(), "graphql: Config.") || !strings.Contains(err.Error(), word) {
				t.Errorf("New: %v, want %q in the error", err, word)
			}
		}
		if err != nil && strings.Contains(err.Error(), "0123456789") {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}
