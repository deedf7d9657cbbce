package assets

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"gocloud.dev/blob"
)

// Config says what a [Mover] may reach, and how much it may use. The zero value works, and may reach nothing.
type Config struct {
	// Allow lists where assets may be read from and written to, as URL prefixes:
	//
	//	https://cdn.example.com/assets/
	//	http://127.0.0.1:8081/
	//	s3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=us-east-1&use_path_style=true
	//	file:///srv/assets/?create_dir=1
	//	mem://name/
	//
	// An HTTP prefix is for reading only. Any other may be read and written unless it starts with "source:" or
	// "destination:", as in source:file:///srv/old/. Whoever may write somewhere should not always be able to read there:
	// a caller could have a private file copied to a public place.
	//
	// Comparison is by scheme, host, port and whole path segments: /a allows /a and what is below /a/, but not /ab, and /a/
	// only what is below. Among several matching prefixes the longest decides. Where one folder lies in another and their
	// rights differ, no symbolic link inside the outer one is followed.
	// Query parameters are those of the gocloud.dev/blob driver, for file: create_dir, dir_file_mode, no_tmp_dir (which
	// changes nothing) and metadata=skip (no sidecar files: content types and cache headers are lost). Credentials belong
	// into the driver's environment, never here.
	//
	// A prefix whose host is a literal IP address or localhost permits that address for that host and port.
	Allow []string

	// AllowAddresses lists networks which allowed hosts may resolve to although they are not public, such as a
	// private 10.0.0.0/8. It widens no prefix in Allow, but holds for all of them.
	AllowAddresses []netip.Prefix

	// Mux opens the buckets. Nil is blob.DefaultURLMux(), which knows the drivers that the program imports. Prefixes
	// with file: do not go through it.
	Mux *blob.URLMux

	// TempDir is where the mover makes its own temporary folder. Empty is os.TempDir(). Large assets for file://
	// destinations are not spooled there but below the destination's prefix, so that they need no second copy.
	TempDir string

	// MaxPerHost limits how many requests run at the same time to one HTTP host, or to one bucket. Zero is 32. A move beyond
	// the limit waits while others end; when none has ended for two seconds, it fails with ErrBusy, which puts its task off
	// for 5 to 30 seconds.
	MaxPerHost int

	// MaxBytes limits the size of one asset. Zero is 16 GiB, which protects the disk from an origin that never stops
	// sending; negative is no limit. A larger asset is discarded.
	MaxBytes int64

	// MaxUploadMemory limits the memory that the buffers of all uploads to buckets take together. Zero is 64 MiB. S3
	// drivers keep up to 16 MiB of each asset, and the parts of a large one, in memory. Who is beyond the limit waits.
	MaxUploadMemory int64

	// StallTimeout is how long a source may send next to nothing before the move fails, to be tried again: less than a KiB
	// for each second of it, or less than the rest of the asset. Zero is 60 seconds. No limit is set to how long a move
	// takes as a whole; give the task a timeout for that.
	StallTimeout time.Duration

	// HeaderTimeout is how long an HTTP origin may take until it begins to answer. Zero is 30 seconds.
	HeaderTimeout time.Duration

	// SyncFiles has files synced to disk before a move to file:// counts as done. Off by default: it costs one or more
	// disk flushes for each asset, and protects against power failure only; a killed process loses nothing.
	SyncFiles bool

	// TLS is the configuration for HTTPS origins. Nil is Go's default, with the certificates that the system trusts.
	TLS *tls.Config

	// Resolver looks up the names of HTTP origins. Nil is net.DefaultResolver.
	Resolver *net.Resolver

	// Logger is told what nobody waits for, such as temporary files that could not be removed, and at the level Debug the
	// full text of the errors that moves fail with, which can name paths and addresses of the service. Nil is silence.
	Logger *slog.Logger
}

const (
	defaultMaxPerHost      = 32
	defaultMaxBytes        = 16 << 30
	defaultMaxUploadMemory = 64 << 20
	defaultStallTimeout    = 60 * time.Second
	defaultHeaderTimeout   = 30 * time.Second
)

// withDefaults gives a copy in which every field has its value.
func (c Config) withDefaults() Config {
	c.MaxPerHost = orDefault(c.MaxPerHost, defaultMaxPerHost)
	c.MaxBytes = orDefault(c.MaxBytes, defaultMaxBytes)
	c.MaxUploadMemory = orDefault(c.MaxUploadMemory, defaultMaxUploadMemory)
	c.StallTimeout = orDefault(c.StallTimeout, defaultStallTimeout)
	c.HeaderTimeout = orDefault(c.HeaderTimeout, defaultHeaderTimeout)
	c.TempDir = orDefault(c.TempDir, os.TempDir())
	c.Mux = orDefault(c.Mux, blob.DefaultURLMux())
	c.Logger = orDefault(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// validate checks what has no meaning of its own for New to discover.
func (c Config) validate() error {
	switch {
	case c.MaxPerHost < 0:
		return fmt.Errorf("assets: Config.MaxPerHost is %d, want 0 (for %d) or more", c.MaxPerHost, defaultMaxPerHost)
	case c.MaxUploadMemory < 0:
		return fmt.Errorf("assets: Config.MaxUploadMemory is %d, want 0 (for %d) or more", c.MaxUploadMemory, defaultMaxUploadMemory)
	case c.StallTimeout < 0:
		return fmt.Errorf("assets: Config.StallTimeout is %s, want 0 (for %s) or more", c.StallTimeout, defaultStallTimeout)
	case c.HeaderTimeout < 0:
		return fmt.Errorf("assets: Config.HeaderTimeout is %s, want 0 (for %s) or more", c.HeaderTimeout, defaultHeaderTimeout)
	}
	for i, prefix := range c.AllowAddresses {
		if !prefix.IsValid() {
			return fmt.Errorf("assets: Config.AllowAddresses[%d] is not a valid network, want one such as 10.0.0.0/8", i)
		}
	}
	return nil
}
