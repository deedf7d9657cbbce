package taskrunner_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modulePath is how every import path of ours begins.
const modulePath = "github.com/taskrunner-go/taskrunner"

// everything, as a row of rooms, lets a package import all of ours.
var everything = []string{"*"}

// rooms says which of our packages each package may import, outside its tests. A package without a row fails the test:
// whoever adds one says here where it stands. Rows of packages that are yet to come do no harm.
//
// The order from top to bottom is the order of the layers: no row names a package below it, but for cmd/demo.
var rooms = []struct {
	name string   // below the module's path; "" is the root
	may  []string // what it may import of ours
	why  string   // why it may not import more
}{
	{"", nil, "the root package is documentation"},
	{"messages", []string{"internal/fields"}, "what is said is known to everybody, so it knows nobody but how bytes are read"},
	{"telemetry", nil, "whoever is observed imports it, so it imports none of them"},
	{"internal/fields", nil, "it reads and writes protobuf in its bytes, and knows none of the messages"},
	{"internal/servertest", nil, "it starts foreign servers for tests and knows nothing of ours"},
	{"internal/tools/chaos", []string{"messages", "store", "store/sqlite", "store/postgres", "actors", "internal/servertest", "internal/tools/harness"}, "an ordinary user of the library, with the servers that it kills"},
	{"internal/tools/harness", []string{"store"}, "what the harnesses share: it makes trouble for any program, and reads any store"},
	{"internal/tools/netchaos", []string{"messages", "store", "store/sqlite", "actors", "remote", "internal/tools/harness"}, "an ordinary user of the library, on a network of its own"},
	{"internal/tools/mutate", nil, "it judges any package and so knows none"},
	{"internal/tools/otptable", nil, "it reads the tests as text and builds none of us"},
	{"store", []string{"messages", "telemetry"}, "a store records what it is given; it starts nothing and asks nobody"},
	{"store/storetest", []string{"store"}, "the suite judges a store by the contract alone"},
	{"store/internal/calls", nil, "it counts"},
	{"store/internal/migrations", nil, "it reads files"},
	{"store/sqlite", []string{"store", "store/internal/calls", "store/internal/migrations"}, "a driver behind the contract, and nothing that would need it"},
	{"store/postgres", []string{"store", "store/internal/calls", "store/internal/migrations"}, "a driver behind the contract, and nothing that would need it"},
	{"internal/process", []string{"messages", "telemetry"}, "processes stand below supervision and work; this keeps the layers free of circles"},
	{"supervisor", []string{"messages", "telemetry", "internal/process"}, "supervisors stand on processes, not on the GenServers that they supervise"},
	{"actors", []string{"messages", "telemetry", "store", "supervisor", "internal/process"}, "the library does not know its users, its stores or its network"},
	{"remote/remotepb", []string{"messages"}, "generated from the proto files; what it means is the business of remote"},
	{"remote", []string{"messages", "telemetry", "store", "actors", "internal/process", "internal/fields", "remote/remotepb"}, "it carries the messages of the actors, and serves no pages"},
	{"assets", []string{"messages", "actors"}, "an ordinary user of the library: what it needs, every user must be able to have"},
	{"graphql/graphiql", nil, "a page with its files"},
	{"graphql/internal/gen", nil, "generated from the schema; what it means is the resolvers' business"},
	{"graphql", []string{"messages", "telemetry", "store", "actors", "assets", "graphql/graphiql", "graphql/internal/gen"}, "it asks the runner and the store; which store that is, it need not know"},
	{"dashboard", []string{"messages", "telemetry", "store", "actors", "supervisor"}, "it shows what runs, whatever the kinds of the tasks are"},
	{"cmd/demo", everything, "it puts everything together"},
}

// fences say who may import what is not ours. A module without a row fails the test, so that no dependency comes in
// unseen. The first row that fits counts.
var fences = []struct {
	path  string   // an import path; it stands for everything below it too
	rooms []string // who may import it outside tests; everything: all of us
	tests bool     // whether every test may
	why   string
}{
	{"github.com/asynkron/protoactor-go/remote", nil, false, "anybody who reaches its port can stop actors, and one frame ends the process: remote has a service of its own"},
	{"github.com/asynkron/protoactor-go", []string{"internal/process"}, false, "protoactor's API changes under us, and its ten traps are known in one room"},

	{"google.golang.org/protobuf", []string{"internal/fields", "messages", "remote", "remote/remotepb"}, true, "nobody else writes bytes for the wire"},
	{"google.golang.org/grpc", []string{"remote", "remote/remotepb"}, true, "the network is the business of remote; who stays on one machine need not link it"},
	{"go.opentelemetry.io", []string{"telemetry", "cmd/demo"}, true, "everybody else emits our own events, so that nobody pays for an exporter unasked"},

	{"modernc.org/sqlite", []string{"store/sqlite", "cmd/demo"}, true, "who uses another store must not download this driver's four million lines"},
	{"github.com/jackc/pgx", []string{"store/postgres", "cmd/demo"}, true, "who uses another store must not link this driver"},

	{"gocloud.dev/blob/s3blob", []string{"cmd/demo"}, true, "storage drivers bring their provider's SDK; the program chooses them"},
	{"gocloud.dev/blob/gcsblob", []string{"cmd/demo"}, true, "storage drivers bring their provider's SDK; the program chooses them"},
	{"gocloud.dev/blob/azureblob", []string{"cmd/demo"}, true, "storage drivers bring their provider's SDK; the program chooses them"},
	{"gocloud.dev", []string{"assets", "cmd/demo"}, true, "only the job of the story touches storage"},
	{"github.com/aws", []string{"cmd/demo"}, true, "the SDK of one provider; the program chooses it"},

	{"github.com/99designs/gqlgen", []string{"graphql", "graphql/internal/gen"}, true, "only the front end speaks GraphQL"},
	{"github.com/vektah/gqlparser", []string{"graphql", "graphql/internal/gen"}, true, "only the front end speaks GraphQL"},

	{"github.com/urfave/cli", []string{"cmd/demo"}, false, "flags belong to programs; the library has config structs"},
	{"github.com/schollz/progressbar", []string{"cmd/demo"}, false, "what is drawn on a terminal belongs to programs"},

	{"github.com/google/uuid", []string{"actors", "store", "store/storetest", "store/sqlite", "store/postgres", "internal/process", "remote", "graphql", "internal/tools/chaos", "internal/tools/netchaos", "cmd/demo"}, true, "ids are made where tasks and nodes begin, and checked where they come in"},
	{"github.com/gofrs/flock", []string{"assets", "store/sqlite", "store/postgres"}, true, "only those who own files lock them"},
	{"golang.org/x", everything, true, "the standard library's annexe"},

	{"go.uber.org/goleak", nil, true, "it looks for leaks in tests"},
	{"pgregory.net/rapid", []string{"store/storetest"}, true, "it draws the cases of property tests"},
	{"github.com/anishathalye/porcupine", []string{"store/storetest"}, true, "it judges recorded histories in tests"},
}

// goPackage is what go list says of one package.
type goPackage struct {
	Dir          string
	ImportPath   string
	Doc          string // the first sentence of the package's documentation
	GoFiles      []string
	Imports      []string
	TestImports  []string // of tests inside the package
	XTestImports []string // of tests outside it
}

// room gives the package's name below the module's path, as rooms has it.
func (p goPackage) room() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/")
}

// files gives the paths of the package's Go files, without tests.
func (p goPackage) files() []string {
	var paths []string
	for _, name := range p.GoFiles {
		paths = append(paths, filepath.Join(p.Dir, name))
	}
	return paths
}

// ourPackages asks go list for all packages of the module.
func ourPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json", "./...").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("the answer of go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestWhoMayImportWhom(t *testing.T) {
	t.Parallel()
	for _, p := range ourPackages(t) {
		for _, path := range p.Imports {
			if problem := forbidden(p.room(), path, false); problem != "" {
				t.Error(problem)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if problem := forbidden(p.room(), path, true); problem != "" {
				t.Errorf("a test: %s", problem)
			}
		}
		if len(p.Imports) == 0 { // so that a package without imports needs its row as well
			if problem := forbidden(p.room(), modulePath+"/nobody", false); strings.Contains(problem, "no row") {
				t.Error(problem)
			}
		}
	}
}

// forbidden says what is wrong with an import, "" if it may be.
func forbidden(room, path string, test bool) string {
	own, ours := strings.CutPrefix(path, modulePath+"/")
	switch {
	case ours && test:
		return "" // a test may use whatever it likes of ours
	case ours:
		return forbiddenRoom(room, own)
	case !strings.Contains(strings.Split(path, "/")[0], "."):
		return "" // the standard library
	default:
		return forbiddenFence(room, path, test)
	}
}

func forbiddenRoom(room, own string) string {
	for _, row := range rooms {
		switch {
		case row.name != room:
		case slices.Contains(row.may, own) || slices.Equal(row.may, everything):
			return ""
		default:
			return room + " must not import " + own + ": " + row.why + "; it may import " + strings.Join(row.may, ", ")
		}
	}
	return room + " has no row in the table rooms of imports_test.go"
}

func forbiddenFence(room, path string, test bool) string {
	for _, fence := range fences {
		switch {
		case path != fence.path && !strings.HasPrefix(path, fence.path+"/"):
		case test && fence.tests || slices.Contains(fence.rooms, room) || slices.Equal(fence.rooms, everything):
			return ""
		default:
			return room + " must not import " + path + ": " + fence.why + "; it is for " + strings.Join(fence.rooms, ", ")
		}
	}
	return room + " imports " + path + ", which has no row in the table fences of imports_test.go"
}

// TestForbidden keeps the rules honest: a test that lets everything through would never be noticed.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		room, path string
		test       bool
		want       string // part of the problem; "" if the import may be
	}{
		{"messages", "fmt", false, ""},
		{"messages", "net/http", false, ""},
		{"messages", modulePath + "/store", false, "it knows nobody"},
		{"messages", modulePath + "/store", true, ""},
		{"store", modulePath + "/messages", false, ""},
		{"store", modulePath + "/messages/deeper", false, "must not import"},
		{"supervisor", modulePath + "/actors", false, "not on the GenServers"},
		{"cmd/demo", modulePath + "/internal/process", false, ""},
		{"strange", modulePath + "/messages", false, "no row"},
		{"internal/process", "github.com/asynkron/protoactor-go/actor", false, ""},
		{"actors", "github.com/asynkron/protoactor-go/actor", false, "ten traps"},
		{"actors", "github.com/asynkron/protoactor-go/actor", true, "ten traps"},
		{"internal/process", "github.com/asynkron/protoactor-go/remote", false, "a service of its own"},
		{"store", "modernc.org/sqlite", true, ""},
		{"store", "modernc.org/sqlite", false, "four million lines"},
		{"store", "pgregory.net/rapid", true, ""},
		{"store", "pgregory.net/rapid", false, "property tests"},
		{"store", "golang.org/x/sync/errgroup", false, ""},
		{"store", "example.org/left-pad", true, "no row"},
	} {
		got := forbidden(test.room, test.path, test.test)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("forbidden(%q, %q, %v) = %q, want %q", test.room, test.path, test.test, got, test.want)
		}
	}
}
