package assets_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// s3Opener opens s3:// URLs with one HTTP client, which keeps as many connections as are used, and which the test can
// close. The credentials of s3blob's own opener come from the environment, which parallel tests share.
type s3Opener struct{ client *s3.Client }

func (o *s3Opener) OpenBucketURL(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	return s3blob.OpenBucket(ctx, o.client, u.Host, nil)
}

// s3Mux gives a mux that knows s3:// as a versitygw with one bucket of the name "new".
func s3Mux(t testing.TB) (*blob.URLMux, *blob.Bucket) {
	t.Helper()
	endpoint, access, secret := servertest.VersityGW(t, "new")
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	opener := &s3Opener{s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       servertest.Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(access, secret, ""),
		HTTPClient:   &http.Client{Transport: transport},
	})}
	mux := new(blob.URLMux)
	mux.RegisterBucket("s3", opener)
	b, err := opener.OpenBucketURL(t.Context(), &url.URL{Scheme: "s3", Host: "new"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return mux, b
}
