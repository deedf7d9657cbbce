package servertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An NginxOption changes how [Nginx] serves.
type NginxOption func(*nginxConfig)

// nginxConfig is what the options change. Its zero value serves every request.
type nginxConfig struct {
	failPercent float64
}

// FailPercent makes nginx answer that share of all requests, chosen at random, with 503 Service Unavailable. It must be
// 0 or lie between 0.01, the finest that nginx counts, and 100.
func FailPercent(percent float64) NginxOption {
	return func(c *nginxConfig) { c.failPercent = percent }
}

// Nginx serves the files below dir, with index pages for folders, and gives the URL under which dir is found, without
// a slash at its end. The server ends with the test.
//
// nginx inherits a socket on which we listen already. So there is no port that could be taken between choosing and
// using it, and nothing to poll: the kernel keeps the first request until nginx accepts it.
func Nginx(t testing.TB, dir string, opts ...NginxOption) (baseURL string) {
	t.Helper()
	path := Need(t, "nginx")
	var config nginxConfig
	for _, opt := range opts {
		opt(&config)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("servertest: listening for nginx: %v", err)
	}
	defer func() { _ = listener.Close() }() // nginx has its own copy; if it dies, clients must be refused and not hang
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatalf("servertest: the socket for nginx: %v", err)
	}
	defer func() { _ = socket.Close() }()

	prefix := t.TempDir()
	file := filepath.Join(prefix, "nginx.conf")
	text, err := config.render(listener.Addr().String(), prefix, dir)
	if err != nil {
		t.Fatalf("servertest: nginx: %v", err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("servertest: nginx: %v", err)
	}
	inherit := func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{socket}        // descriptor 3, the first after the standard three
		cmd.Env = append(os.Environ(), "NGINX=3;") // how nginx hands its sockets to its successor
	}
	s := start(t, path, inherit, "-p", prefix, "-c", file, "-e", "stderr")
	baseURL = "http://" + listener.Addr().String()
	s.awaitHTTP(t, baseURL+"/")
	return baseURL
}

// render writes the configuration file.
func (c nginxConfig) render(address, prefix, dir string) (string, error) {
	unlucky := ""
	switch {
	case c.failPercent == 0: // nginx refuses a share of 0%
	case c.failPercent >= 0.01 && c.failPercent <= 100:
		unlucky = fmt.Sprintf("%.2f%% 1;", c.failPercent)
	default:
		return "", fmt.Errorf("FailPercent is %v, want 0 or 0.01 to 100", c.failPercent)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, path := range []string{prefix, dir} {
		if strings.ContainsAny(path, "\"\\$\n") {
			return "", fmt.Errorf("the folder %q cannot be written in a configuration file", path)
		}
	}
	user := ""
	if os.Geteuid() == 0 {
		// Workers of a root nginx become www-data, who may not enter the temporary folders of a test.
		user = "user root root;"
	}
	return strings.NewReplacer(
		"{user}", user, "{address}", address, "{prefix}", prefix, "{dir}", dir, "{unlucky}", unlucky,
	).Replace(nginxTemplate), nil
}

// nginxTemplate keeps everything below the prefix. split_clients hashes the request's id, which is random, so that
// each request draws anew.
const nginxTemplate = `{user}
daemon off;
worker_processes 1;
pid "{prefix}/nginx.pid";
error_log stderr warn;
events { worker_connections 1024; }
http {
  types {
    text/html html;  text/css css;  text/plain txt;
    application/javascript js;  application/json json;
    image/svg+xml svg;  image/png png;  image/jpeg jpg jpeg;  image/webp webp;  font/woff2 woff2;
  }
  default_type application/octet-stream;
  access_log off;
  sendfile on;
  client_body_temp_path "{prefix}/body";
  proxy_temp_path "{prefix}/proxy";
  fastcgi_temp_path "{prefix}/fastcgi";
  uwsgi_temp_path "{prefix}/uwsgi";
  scgi_temp_path "{prefix}/scgi";
  split_clients "$request_id" $unlucky { {unlucky} * 0; }
  server {
    listen {address};
    root "{dir}";
    autoindex on;
    if ($unlucky) { return 503; }
  }
}
`

// awaitHTTP returns when url has been answered, with whatever status, and fails the test if the server ends or stays
// silent before.
func (s *server) awaitHTTP(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- get(ctx, url) }()
	select {
	case err := <-answered:
		if err != nil {
			t.Fatalf("servertest: %s does not answer: %v\n%s", s.name, err, s.output)
		}
	case <-s.exited:
		cancel()
		t.Fatalf("servertest: %s ended at once: %v\n%s", s.name, <-answered, s.output)
	}
}

// get asks once, on a connection of its own, so that no idle one stays behind for a leak check to find.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
