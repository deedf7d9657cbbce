package servertest_test

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

func TestRedisAnswersAsSet(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("unix", servertest.Redis(t, "--appendonly", "yes", "--appendfsync", "always"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	say := func(command string, lines int) (answer string) {
		t.Helper()
		if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
			t.Fatal(err)
		}
		for range lines {
			line, err := reader.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			answer += strings.TrimSpace(line) + " "
		}
		return answer
	}
	for _, test := range []struct {
		command string
		lines   int
		want    string
	}{
		{"SET key value", 1, "+OK "},
		{"GET key", 2, "$5 value "},
		{"CONFIG GET appendfsync", 5, "*2 $11 appendfsync $6 always "},
		{"CONFIG GET appendonly", 5, "*2 $10 appendonly $3 yes "},
		{"CONFIG GET port", 5, "*2 $4 port $1 0 "},
	} {
		if got := say(test.command, test.lines); got != test.want {
			t.Errorf("%s: %q, want %q", test.command, got, test.want)
		}
	}
}
