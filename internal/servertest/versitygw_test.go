package servertest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

func TestVersityGWKeepsObjects(t *testing.T) {
	t.Parallel()
	gateway := servertest.StartGateway(t, "first", "second")
	endpoint, access, secret := gateway.Endpoint, gateway.AccessKey, gateway.SecretKey
	s3 := func(method, path, body string, header map[string]string) (int, http.Header, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			request.Header.Set(name, value)
		}
		sign(request, body, access, secret)
		return do(t, request)
	}

	kept := map[string]string{"Content-Type": "image/svg+xml", "Cache-Control": "max-age=60", "X-Amz-Meta-Origin": "old"}
	if status, _, body := s3(http.MethodPut, "/first/icons/a.svg", "<svg/>", kept); status != http.StatusOK {
		t.Fatalf("PUT: %d %s", status, body)
	}
	if file, err := os.ReadFile(filepath.Join(gateway.Folder("first"), "icons", "a.svg")); err != nil || string(file) != "<svg/>" {
		t.Errorf("in the folder of the bucket: %q, %v", file, err)
	}
	status, header, body := s3(http.MethodGet, "/first/icons/a.svg", "", nil)
	if status != http.StatusOK || body != "<svg/>" || header.Get("ETag") == "" {
		t.Errorf("GET: %d %q, ETag %q", status, body, header.Get("ETag"))
	}
	for name, want := range kept {
		if got := header.Get(name); got != want {
			t.Errorf("%s came back as %q, want %q", name, got, want)
		}
	}
	if status, _, body = s3(http.MethodGet, "/second", "", nil); status != http.StatusOK || strings.Contains(body, "a.svg") {
		t.Errorf("listing the other bucket: %d %s", status, body)
	}
	if status, _, _ = s3(http.MethodGet, "/third", "", nil); status != http.StatusNotFound {
		t.Errorf("a bucket nobody named: %d", status)
	}
	if status, _, _ = get(t, endpoint+"/first/icons/a.svg"); status != http.StatusForbidden {
		t.Errorf("without credentials: %d", status)
	}
}

// sign adds an AWS Signature Version 4 over all headers and the body, written out so that this package needs no client.
func sign(request *http.Request, body, access, secret string) {
	now := time.Now().UTC().Format("20060102T150405Z")
	scope := now[:8] + "/" + servertest.Region + "/s3/aws4_request"
	request.Header.Set("X-Amz-Date", now)
	request.Header.Set("X-Amz-Content-Sha256", digest(body))
	headers := map[string]string{"host": request.URL.Host}
	for name := range request.Header {
		headers[strings.ToLower(name)] = request.Header.Get(name)
	}
	names := slices.Sorted(maps.Keys(headers))
	signed := strings.Join(names, ";")
	canonical := request.Method + "\n" + request.URL.EscapedPath() + "\n\n"
	for _, name := range names {
		canonical += name + ":" + headers[name] + "\n"
	}
	canonical += "\n" + signed + "\n" + digest(body)
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+now+"\n"+scope+"\n"+digest(canonical))
	request.Header.Set("Authorization", fmt.Sprintf(
		"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", access, scope, signed, signature))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
