package main

import (
	"context"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/blob/s3blob"
)

// buckets opens mem:// and s3:// buckets; what is at file:// package assets opens itself. So many connections to one
// provider are kept for the next request.
func buckets(connections int) *blob.URLMux {
	mux := new(blob.URLMux)
	mux.RegisterBucket(memblob.Scheme, &memblob.URLOpener{})
	mux.RegisterBucket(s3blob.Scheme, s3Opener{connections})
	return mux
}

// s3Opener opens what s3blob's own opener does, with two things that it has no parameter for:
//   - The SDK keeps ten connections to a host. With 64 moves at once most requests would make a new one.
//   - The SDK writes to the standard error, through the progress bar, that it does not check an object that was uploaded
//     in parts. Package assets checks what it reads itself.
type s3Opener struct{ connections int }

func (o s3Opener) OpenBucketURL(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	opener := new(s3blob.URLOpener) // it puts the parameters that are not the client's into its Options
	bucket, err := opener.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, err
	}
	var client *s3.Client
	if !bucket.As(&client) {
		return bucket, nil
	}
	own := s3.New(client.Options(), func(options *s3.Options) {
		options.DisableLogOutputChecksumValidationSkipped = true
		if standard, ok := options.HTTPClient.(*awshttp.BuildableClient); ok {
			options.HTTPClient = standard.WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = o.connections })
		}
	})
	if err := bucket.Close(); err != nil {
		return nil, err
	}
	return s3blob.OpenBucket(ctx, own, u.Host, &opener.Options)
}
