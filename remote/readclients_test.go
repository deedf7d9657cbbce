package remote_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/remote"
)

// sum is the SHA-256 of the token "1".
const sum = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

func writeClients(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clients.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadClients(t *testing.T) {
	t.Parallel()
	got, err := remote.ReadClients(writeClients(t, `[
	{
		"name": "billing", "token_sha256": ["`+sum+`"], "certificate": "billing.example.com",
		"runners": ["assets", "mail"], "kinds": ["*"], "run": true, "cancel": true
	},
	{"token_sha256": ["`+sum[:62]+`00", "`+sum[:62]+`01"], "name": "reader"}
]
`))
	want := []remote.AllowedClient{
		{Name: "billing", TokenSHA256: []string{sum}, Certificate: "billing.example.com", Runners: []string{"assets", "mail"}, Kinds: []string{"*"}, Run: true, Cancel: true},
		{Name: "reader", TokenSHA256: []string{sum[:62] + "00", sum[:62] + "01"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ReadClients = %+v, %v, want %+v", got, err, want)
	}
}

func TestWhatIsWrongWithAFileOfClients(t *testing.T) {
	t.Parallel()
	one := `"name": "one", "token_sha256": ["` + sum + `"]`
	for _, test := range []struct {
		name, content string
		line, want    string
	}{
		{"empty", "", "line 1", "a list of clients"},
		{"an object", "{}", "line 1", "a list of clients"},
		{"not closed", "[{" + one + "}", "line 1", "the end of the list"},
		{"more behind it", "[{" + one + "}]\n\n[]", "line 3", "more after the list"},
		{"rubbish behind it", "[{" + one + "}]\n}", "line 2", "more after the list"},
		{"an empty list", "[]", "line 1", "at least one client"},
		{"a client that is none", "[\n3]", "line 2", "a client, as an object"},
		{"null", "[null]", "line 1", "a client, as an object"},
		{"no JSON", "[{" + one + ",\n\n]", "line 3", "the name of a field"},
		{"an unknown field", "[{" + one + ",\n\"runner\": \"a\"}]", "line 2", `field "runner", want name, token_sha256`},
		{"a field in capitals", "[{" + one + ",\n\"Cancel\": true}]", "line 2", `"Cancel"`},
		{"a field twice", "[{" + one + ",\n\"cancel\": false,\n\"cancel\": true}]", "line 3", "second cancel"},
		{"a wrong type", "[{" + one + ",\n\"run\": \"true\"}]", "line 2", "run is something else, want true or false"},
		{"a token in place of a list", "[{\"name\": \"one\",\n\"token_sha256\": \"secret\"}]", "line 2", "want a list of strings"},
		{"a number as a name", "[{\"name\": 1}]", "line 1", "want a string"},
		{"no name", "[\n{\"token_sha256\": [\"" + sum + "\"]}]", "line 2", "the name"},
		{"no token", "[{" + one + "},\n{\"name\": \"two\"}]", "line 2", "no token_sha256"},
		{"a name twice", "[{" + one + "},\n\n{\"name\": \"one\", \"token_sha256\": [\"" + sum[:62] + "00\"]}]", "line 3", "already"},
		{"a token twice", "[{" + one + "},\n\n{\"name\": \"two\", \"token_sha256\": [\"" + sum + "\"]}]", "line 3", "already"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := writeClients(t, test.content)
			clients, err := remote.ReadClients(path)
			if err == nil || !strings.HasPrefix(err.Error(), "remote: "+path+", "+test.line+": ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ReadClients = %v, %v, want an error of %s with %q", clients, err, test.line, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), sum)) {
				t.Errorf("error %v shows a token or its sum", err)
			}
		})
	}
	if _, err := remote.ReadClients(t.TempDir()); err == nil || !strings.Contains(err.Error(), "a directory") {
		t.Errorf("a directory: %v", err)
	}
}
