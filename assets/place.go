package assets

import (
	"context"
	"io"
	"iter"
)

// place is where assets lie: a folder or a bucket. HTTP origins are source only.
type place interface {
	source
	lister
	// check refuses names that cannot be assets here, or not be written, in words that fit behind the URL. It asks nobody.
	check(l location, write bool) error
	// prepare says what put will need of an asset, and refuses one that put would refuse, before it is downloaded.
	prepare(l location, asset *original) (preparation, error)
	// put writes what is in body, verifies that it arrived, and says what identifies it. Whatever it answers, nothing
	// but the whole asset can be seen there; with an error it may be what was there before.
	put(ctx context.Context, l location, body *spool, h Headers) (Object, error)
	// vacant reports whether nothing lies at l, as far as that can be told without asking anybody; false is "not known".
	vacant(l location) bool
	// holds reports whether what lies at l is still what was put there: object, with the given hash.
	holds(ctx context.Context, l location, object Object, sha256 string) (bool, error)
	close() error
}

// preparation is what a place needs of an asset that is about to be downloaded for it.
type preparation struct {
	scratch *scratch // where a large body is best kept; nil if anywhere will do
	md5     bool     // whether its MD5 is needed
}

// source is where assets can be read.
type source interface {
	// get opens an asset. If since matches the source as it is now, the answer is unchanged and has no body.
	get(ctx context.Context, l location, since *Validators) (*original, error)
}

// lister is where assets can be found.
type lister interface {
	// list gives the names of all assets below l, relative to it. An error that comes with a name is about this name
	// only, and the list goes on.
	list(ctx context.Context, l location) iter.Seq2[string, error]
}

// original is an asset as its source gives it.
type original struct {
	body       io.ReadCloser // nil if unchanged
	size       int64         // -1 if the source does not say
	unchanged  bool
	headers    Headers
	validators Validators
	digests    []digest // what the source says that the content hashes to
	file       *fileID  // which file it is; nil unless it is one
}

// close releases the original. A second close does nothing.
func (o *original) close() {
	if o.body != nil {
		_ = o.body.Close() // all that was wanted of it has been read and verified, or an error is on its way already
		o.body = nil
	}
}
