package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serverEnv has this program be a server, of that kind, until its standard input is closed.
const (
	serverEnv = "BENCH_REMOTE_SERVER"
	pathEnv   = "BENCH_REMOTE_PATH"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(serverEnv); kind != "" {
		if err := serve(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve is the life of the server's process.
func serve(kind string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	tell := func(address net.Addr) { fmt.Println(address) }
	switch kind {
	case "ours":
		return serveOurs(ctx, os.Getenv(pathEnv), tell)
	case "slow":
		return serveSlow(ctx, os.Getenv(pathEnv), tell)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	tell(listener.Addr())
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	if kind == "tcp" {
		err = serveTCP(listener)
	} else {
		err = serveEcho(listener)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// server is a server in a process of its own.
type server struct {
	address string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
}

func startServer(ctx context.Context, kind, path string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, os.Args[0])}
	s.cmd.Env = append(os.Environ(), serverEnv+"="+kind, pathEnv+"="+path)
	s.cmd.Stderr = os.Stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the %s server says no address: %w", kind, err), s.cmd.Process.Kill(), s.cmd.Wait())
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

// stop ends the server, and gives what it has used.
func (s *server) stop() (usage, error) {
	err := s.stdin.Close()
	err = errors.Join(err, s.cmd.Wait())
	state := s.cmd.ProcessState
	var memory int64
	if state != nil {
		memory = state.SysUsage().(*syscall.Rusage).Maxrss
	}
	return usage{cpu: state.UserTime() + state.SystemTime(), memory: float64(memory) / 1024}, err
}

// usage is what a process has used.
type usage struct {
	cpu    time.Duration
	memory float64 // MiB at most
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
