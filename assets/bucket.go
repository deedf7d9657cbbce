package assets

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/semaphore"
)

const (
	// partSize and partsAtOnce are what a large upload is cut into, and how many pieces are sent at once. They are smaller
	// than the S3 driver's own (8 MiB, 5) to keep a process that moves one asset of any size below 100 MB: 57 to 77 MiB
	// of Go's memory were seen for a GiB, and with 3 pieces up to 85.
	partSize    = 5 << 20
	partsAtOnce = 2
	// wholeSize is what the S3 driver reads into memory before it decides to cut an upload into parts.
	wholeSize = 16 << 20
	// minUploadRate is the slowest upload that is waited for, in bytes per second. Drivers take a part as a whole and
	// send it out of our sight, so an upload that stalls shows only in its length.
	minUploadRate = 64 << 10
)

// bucket is a place behind a gocloud.dev/blob driver.
type bucket struct {
	blob   *blob.Bucket
	memory *semaphore.Weighted // counts bytes; shared by all buckets of a mover
	budget int64               // its size
	stall  time.Duration
}

// check refuses names that no provider takes.
func (b *bucket) check(l location, _ bool) error {
	if len(l.path) == 0 || l.dir {
		return errors.New("names a folder, not an asset")
	}
	if len(l.key()) > maxKey {
		return fmt.Errorf("has a key that is longer than %d bytes", maxKey)
	}
	return nil
}

// prepare wants the MD5, which is what providers can be asked for.
func (b *bucket) prepare(location, *original) (preparation, error) {
	return preparation{md5: true}, nil
}

// attributes asks about an object. Drivers have no time limit of their own for a provider that takes a question and is
// silent.
func (b *bucket) attributes(ctx context.Context, l location) (*blob.Attributes, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.stall, ErrStalled)
	defer cancel()
	attributes, err := b.blob.Attributes(ctx, l.key())
	return attributes, orCause(ctx, err)
}

// get asks for the attributes first: only they have the ETag and the cache headers.
func (b *bucket) get(ctx context.Context, l location, since *Validators) (*original, error) {
	attributes, err := b.attributes(ctx, l)
	if err != nil {
		return nil, err
	}
	now := Validators{ETag: attributes.ETag, LastModified: settled(attributes.ModTime, time.Now()), Size: attributes.Size}
	found := &original{size: attributes.Size, validators: now, headers: Headers{
		ContentType:        attributes.ContentType,
		CacheControl:       attributes.CacheControl,
		ContentEncoding:    attributes.ContentEncoding,
		ContentLanguage:    attributes.ContentLanguage,
		ContentDisposition: attributes.ContentDisposition,
	}}
	if since != nil && since.match(now) {
		found.unchanged = true
		return found, nil
	}
	if len(attributes.MD5) == algMD5.size() {
		found.digests = []digest{{algorithm: algMD5, sum: attributes.MD5, doubtful: true}}
	}
	reader, err := b.blob.NewReader(ctx, l.key(), nil)
	if err != nil {
		return nil, err
	}
	found.body = reader
	if reader.Size() != attributes.Size || !sameTime(reader.ModTime(), attributes.ModTime) {
		found.close()
		return nil, failure(ErrShortBody, "the source changed between two questions")
	}
	return found, nil
}

// sameTime compares to the second, because providers give the same time in different headers with different grain.
func sameTime(a, b time.Time) bool {
	return a.IsZero() || b.IsZero() || a.Sub(b).Abs() < time.Second
}

// list gives all keys below l. A key that ends with a slash is how some programs note a folder.
func (b *bucket) list(ctx context.Context, l location) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		prefix := l.key()
		if prefix != "" {
			prefix += "/"
		}
		objects := b.blob.List(&blob.ListOptions{Prefix: prefix})
		for {
			object, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
			if !strings.HasSuffix(object.Key, "/") && !yield(strings.TrimPrefix(object.Key, prefix), nil) {
				return
			}
		}
	}
}

// put uploads and then asks what has arrived.
func (b *bucket) put(ctx context.Context, l location, body *spool, h Headers) (Object, error) {
	if err := b.upload(ctx, l, body, h); err != nil {
		return Object{}, err
	}
	attributes, err := b.attributes(ctx, l)
	if err != nil {
		return Object{}, err
	}
	sum := body.sums.sum(algMD5)
	object := Object{Size: attributes.Size, MD5: hex.EncodeToString(sum), ETag: attributes.ETag}
	if attributes.Size != body.size {
		return Object{}, failure(ErrShortBody, "%d bytes were uploaded, %d have arrived", body.size, attributes.Size)
	}
	if bytes.Equal(attributes.MD5, sum) {
		return object, nil
	}
	// No MD5 (an upload in parts), or one that may be something else (an encrypted bucket): read it back.
	arrived, err := b.hash(ctx, l)
	if err == nil && arrived != body.sha256() {
		err = failure(ErrChecksum, "what has arrived is not what was uploaded")
	}
	return object, err
}

// upload sends the content. It needs a share of the memory for uploads.
func (b *bucket) upload(ctx context.Context, l location, body *spool, h Headers) error {
	share := min(uploadMemory(body.size), b.budget)
	if err := b.memory.Acquire(ctx, share); err != nil {
		return err
	}
	defer b.memory.Release(share)
	limit := b.stall + time.Duration(body.size/minUploadRate)*time.Second
	guard := newStallGuard(ctx, limit)
	defer guard.stop()
	// A reader that fails ends the context: some drivers take any end of the content for its proper end, but none keeps
	// what it has when its context is over.
	err := b.blob.Upload(guard.ctx, l.key(), body.reader(guard.ctx, guard.cancel), &blob.WriterOptions{
		ContentType:        h.ContentType,
		CacheControl:       h.CacheControl,
		ContentEncoding:    h.ContentEncoding,
		ContentLanguage:    h.ContentLanguage,
		ContentDisposition: h.ContentDisposition,
		BufferSize:         partSize,
		MaxConcurrency:     partsAtOnce,
	})
	return orCause(guard.ctx, err)
}

// uploadMemory estimates what the S3 driver keeps of an asset: up to wholeSize in a buffer that grows by copying, and
// beyond that the parts in addition. Other drivers need less.
func uploadMemory(size int64) int64 {
	if size < wholeSize {
		return 2 * size
	}
	return 2*wholeSize + (partsAtOnce+1)*partSize
}

// vacant is not known of a bucket.
func (b *bucket) vacant(location) bool { return false }

// holds compares what identifies the object. If the ETag is the recorded one, nobody has written since.
func (b *bucket) holds(ctx context.Context, l location, object Object, sha256 string) (bool, error) {
	attributes, err := b.attributes(ctx, l)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil || attributes.Size != object.Size {
		return false, err
	}
	if attributes.ETag != "" && attributes.ETag == object.ETag {
		return true, nil
	}
	if len(attributes.MD5) > 0 {
		return hex.EncodeToString(attributes.MD5) == object.MD5, nil
	}
	arrived, err := b.hash(ctx, l)
	return arrived == sha256, err
}

// hash reads an object and gives its SHA-256.
func (b *bucket) hash(ctx context.Context, l location) (string, error) {
	guard := newStallGuard(ctx, b.stall)
	defer guard.stop()
	reader, err := b.blob.NewReader(guard.ctx, l.key(), nil)
	if err != nil {
		return "", orCause(guard.ctx, err)
	}
	defer func() { _ = reader.Close() }()
	sum, err := hashAll(guard.ctx, guard.reader(reader))
	return sum, orCause(guard.ctx, err)
}

func (b *bucket) close() error { return b.blob.Close() }
