package servertest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	// versityAccess and versitySecret are the credentials of the root account. The server is on loopback, holds only
	// what the test gives it, and is gone with the test.
	versityAccess = "servertest"
	versitySecret = "servertest-secret"
	// versityPorts is how many ports are tried, should another program be faster at taking one.
	versityPorts = 5
)

// Region is the region that [VersityGW] expects in signatures.
const Region = "us-east-1"

// A Gateway is a versitygw that runs, an S3 server. Buckets are addressed by path (endpoint/bucket/key), and the region is
// [Region].
type Gateway struct {
	// Endpoint is its URL.
	Endpoint string
	// AccessKey and SecretKey are the credentials of the owner of all buckets.
	AccessKey, SecretKey string

	root   string
	server *server
}

// Folder gives the folder in which a bucket keeps its objects, each as a file with the name of its key.
func (g *Gateway) Folder(bucket string) string { return filepath.Join(g.root, bucket) }

// CPUTime is the processor time that the server has used since it started, in steps of 10 ms. It needs Linux.
func (g *Gateway) CPUTime() (time.Duration, error) { return cpuTime(g.server.cmd.Process.Pid) }

// VersityGW runs an S3 server as [StartGateway] does, and gives what most need of it.
func VersityGW(t testing.TB, buckets ...string) (endpoint, accessKey, secretKey string) {
	t.Helper()
	g := StartGateway(t, buckets...)
	return g.Endpoint, g.AccessKey, g.SecretKey
}

// StartGateway runs an S3 server with the named buckets, each empty. The server ends with the test.
//
// Metadata lies in a sidecar folder and not in extended attributes, which a temporary folder on tmpfs may not have.
func StartGateway(t testing.TB, buckets ...string) *Gateway {
	t.Helper()
	path := Need(t, "versitygw")
	base := t.TempDir()
	root, sidecar := filepath.Join(base, "root"), filepath.Join(base, "sidecar")
	dirs := []string{root, sidecar}
	for _, bucket := range buckets {
		dirs = append(dirs, filepath.Join(root, bucket)) // a folder below the root is a bucket
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatalf("servertest: versitygw: %v", err)
		}
	}
	for range versityPorts {
		address := freeAddress(t)
		s := start(t, path, nil,
			"--port", address, "--region", Region, "--access", versityAccess, "--secret", versitySecret,
			"--health", "/health", "--keep-alive", "--quiet",
			"posix", "--sidecar", sidecar, root)
		endpoint := "http://" + address
		// It can neither inherit a socket nor say which port it took, so asking is the only way to learn that it listens.
		switch err := s.await(func(ctx context.Context) error { return get(ctx, endpoint+"/health") }); {
		case err == nil:
			return &Gateway{Endpoint: endpoint, AccessKey: versityAccess, SecretKey: versitySecret, root: root, server: s}
		case !errors.Is(err, errEnded):
			t.Fatalf("servertest: versitygw does not answer: %v\n%s", err, s.output)
		default:
			t.Logf("servertest: versitygw ended at once on %s:\n%s", address, s.output)
		}
	}
	t.Fatalf("servertest: versitygw ended at once on %d ports, see above", versityPorts)
	return nil
}

// freeAddress gives a loopback address that was free a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("servertest: looking for a free port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
