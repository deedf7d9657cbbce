package servertest

import (
	"path/filepath"
	"testing"
)

// Redis starts an empty Redis and gives the path of its Unix socket. It keeps everything in memory; args change that,
// as on its command line: "--appendonly", "yes", "--appendfsync", "always". It ends with the test, and so does its data.
func Redis(t testing.TB, args ...string) (socket string) {
	t.Helper()
	path := Need(t, "redis-server")
	dir := serverDir(t, "redis-", nil)
	socket = filepath.Join(dir, "redis.sock")
	s := start(t, path, nil, append([]string{
		"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--daemonize", "no",
	}, args...)...)
	s.awaitSocket(t, socket)
	return socket
}
