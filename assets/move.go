package assets

import "time"

// A Move says which asset is to be where. Both are URLs; see the package documentation.
type Move struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
}

// Moved is the outcome of a move. It is kept in the database as JSON, and the next run of the same move reads it to
// find out whether anything has changed.
type Moved struct {
	// Source and Destination are the normalised forms of the URLs in the Move.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Bytes is the length of the asset.
	Bytes int64 `json:"bytes"`
	// SHA256 is the hash of the asset, in hexadecimal.
	SHA256 string `json:"sha256"`
	Headers
	// Validators are those of the source.
	Validators Validators `json:"validators,omitzero"`
	// Object is what was seen at the destination after the upload.
	Object Object `json:"object,omitzero"`
	// Copied is false if nothing was uploaded because nothing had changed.
	Copied bool `json:"copied"`
	// Unchanged says how it was found that nothing had changed; empty if Copied.
	Unchanged Unchanged `json:"unchanged,omitempty"`
	// StartedAt and FinishedAt are the times of the run that succeeded.
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// Attempts counts the runs, the successful one included. A move outside of a task has 1.
	Attempts int `json:"attempts"`
}

// Headers are what tells browsers and caches how to treat an asset. Empty fields are unknown or not set.
type Headers struct {
	ContentType        string `json:"contentType,omitempty"`
	CacheControl       string `json:"cacheControl,omitempty"`
	ContentEncoding    string `json:"contentEncoding,omitempty"`
	ContentLanguage    string `json:"contentLanguage,omitempty"`
	ContentDisposition string `json:"contentDisposition,omitempty"`
}

// Validators tell whether a source has changed since it was last read.
type Validators struct {
	// ETag is the entity tag with its quotes, and with W/ if it is a weak one.
	ETag string `json:"etag,omitempty"`
	// LastModified is zero if it is unknown, or was so recent that a further change could have gone unnoticed.
	LastModified time.Time `json:"lastModified,omitzero"`
	// Size is the length that the source announced, -1 if it announced none.
	Size int64 `json:"size"`
}

// Object identifies what lies at a destination.
type Object struct {
	Size int64  `json:"size"`
	MD5  string `json:"md5,omitempty"` // in hexadecimal; empty for local files, which are compared by SHA-256
	ETag string `json:"etag,omitempty"`
}

// Unchanged says how it was found that nothing had changed.
type Unchanged string

const (
	// ByValidator: the source said so, and nothing was downloaded.
	ByValidator Unchanged = "validator"
	// ByContent: the asset was downloaded, and turned out to be what lies at the destination.
	ByContent Unchanged = "content"
)

// mtimeGrain is the coarsest step in which the sources we know count time of change: HTTP dates have a second, FAT two.
const mtimeGrain = 2 * time.Second

// settled gives modified back if it can serve as a validator: a change that happened after the asset was read would
// have got another time. Right after a change that is not so, and a second change would be missed for ever.
func settled(modified, read time.Time) time.Time {
	if modified.IsZero() || read.Sub(modified) < mtimeGrain {
		return time.Time{}
	}
	return modified
}

// usable reports whether v can prove that nothing has changed.
func (v Validators) usable() bool { return v.ETag != "" || !v.LastModified.IsZero() }

// match reports whether a source that showed v and now shows current is unchanged. Sizes that contradict each other
// outweigh any ETag. A weak ETag suffices: it is what the origin itself would answer If-None-Match with.
func (v Validators) match(current Validators) bool {
	switch {
	case v.Size >= 0 && current.Size >= 0 && v.Size != current.Size:
		return false
	case v.ETag != "" || current.ETag != "":
		return v.ETag == current.ETag
	default:
		return !v.LastModified.IsZero() && v.LastModified.Equal(current.LastModified)
	}
}
