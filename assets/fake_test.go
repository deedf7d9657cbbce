package assets_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what providers give
	"errors"
	"io"
	"net/url"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// opener makes a bucket from the name in a URL.
type opener func(ctx context.Context, name string) *blob.Bucket

func (o opener) OpenBucketURL(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	return o(ctx, u.Host), nil
}

// fakeBucket is a provider that can be told to misbehave.
type fakeBucket struct {
	driver.Bucket // nil: what is not overridden must not be called

	// Hooks, each may be nil.
	onAttributes func(ctx context.Context, key string) error
	onRead       func(ctx context.Context, key string) (io.ReadCloser, error)
	onWrite      func(ctx context.Context, content []byte) ([]byte, error) // what is stored
	md5          func(content []byte) []byte                               // what is given for the MD5
	etag         func(content []byte) string

	mu      sync.Mutex
	objects map[string]fakeObject
	reads   int
}

type fakeObject struct {
	content []byte
	options driver.WriterOptions
	typ     string
	at      time.Time
}

// fakeMux gives a mux that opens b as fake://<any name>.
func fakeMux(t testing.TB, b *fakeBucket) *blob.URLMux {
	t.Helper()
	b.objects = make(map[string]fakeObject)
	mux := new(blob.URLMux)
	mux.RegisterBucket("fake", opener(func(context.Context, string) *blob.Bucket { return blob.NewBucket(b) }))
	return mux
}

// codeError is an error that the portable layer classes.
type codeError gcerrors.ErrorCode

func (e codeError) Error() string { return "fake: " + gcerrors.ErrorCode(e).String() }

func (b *fakeBucket) ErrorCode(err error) gcerrors.ErrorCode {
	if code, ok := errors.AsType[codeError](err); ok {
		return gcerrors.ErrorCode(code)
	}
	return gcerrors.Unknown
}

func (b *fakeBucket) As(any) bool             { return false }
func (b *fakeBucket) ErrorAs(error, any) bool { return false }
func (b *fakeBucket) Close() error            { return nil }

func (b *fakeBucket) set(key, content string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = fakeObject{content: []byte(content), typ: "text/plain", at: time.Now().Add(-time.Hour)}
}

func (b *fakeBucket) find(key string) (fakeObject, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	if !ok {
		return o, codeError(gcerrors.NotFound)
	}
	return o, nil
}

func (b *fakeBucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if b.onAttributes != nil {
		if err := b.onAttributes(ctx, key); err != nil {
			return nil, err
		}
	}
	o, err := b.find(key)
	if err != nil {
		return nil, err
	}
	a := &driver.Attributes{ContentType: o.typ, ModTime: o.at, Size: int64(len(o.content)), CacheControl: o.options.CacheControl}
	if sum := md5.Sum(o.content); b.md5 == nil { //nolint:gosec // as above
		a.MD5 = sum[:]
	} else {
		a.MD5 = b.md5(o.content)
	}
	if b.etag != nil {
		a.ETag = b.etag(o.content)
	}
	return a, nil
}

func (b *fakeBucket) NewRangeReader(ctx context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	o, err := b.find(key)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.reads++
	b.mu.Unlock()
	r := fakeReader{io.NopCloser(bytes.NewReader(o.content)), driver.ReaderAttributes{ContentType: o.typ, ModTime: o.at, Size: int64(len(o.content))}}
	if b.onRead != nil {
		if r.ReadCloser, err = b.onRead(ctx, key); err != nil {
			return nil, err
		}
	}
	return r, nil
}

type fakeReader struct {
	io.ReadCloser
	attributes driver.ReaderAttributes
}

func (r fakeReader) Attributes() *driver.ReaderAttributes { return &r.attributes }
func (r fakeReader) As(any) bool                          { return false }

func (b *fakeBucket) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	return &fakeWriter{ctx: ctx, bucket: b, key: key, typ: contentType, options: *o}, nil
}

// fakeWriter takes whatever comes before Close for the whole, like drivers that have no way to abort but the context.
type fakeWriter struct {
	bytes.Buffer
	ctx     context.Context
	bucket  *fakeBucket
	key     string
	typ     string
	options driver.WriterOptions
}

func (w *fakeWriter) Close() error {
	content := bytes.Clone(w.Bytes())
	if hook := w.bucket.onWrite; hook != nil {
		var err error
		if content, err = hook(w.ctx, content); err != nil {
			return err
		}
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.bucket.mu.Lock()
	defer w.bucket.mu.Unlock()
	w.bucket.objects[w.key] = fakeObject{content: content, options: w.options, typ: w.typ, at: time.Now()}
	return nil
}

// blockedReader gives nothing until its context ends.
type blockedReader struct{ ctx context.Context }

func (r blockedReader) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, r.ctx.Err()
}

func (r blockedReader) Close() error { return nil }
