package assets

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what providers give; never used against an attacker
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/http"
	"strings"
)

// algorithm is a hash that sources announce.
type algorithm string

const (
	algMD5    algorithm = "md5"
	algSHA256 algorithm = "sha-256"
	algSHA512 algorithm = "sha-512"
)

// digest is what a source says that its content hashes to.
type digest struct {
	algorithm algorithm
	sum       []byte
	// doubtful says that a difference proves nothing: a provider that encrypts gives a number in place of the MD5
	// that looks like one.
	doubtful bool
}

// readDigests takes the checksums out of an HTTP answer. We ask for no encoding and no range, so the checksums of the
// content (Content-MD5, Content-Digest) and those of the representation (Digest, Repr-Digest) are of the same bytes.
// What cannot be read or has another algorithm is passed over: it is then as if the origin had said nothing.
func readDigests(header http.Header) []digest {
	var found []digest
	if value := header.Get("Content-Md5"); value != "" {
		found = appendDigest(found, "md5", value)
	}
	for _, line := range header["Digest"] { // SHA-256=…,md5=…
		for item := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(item, "=")
			found = appendDigest(found, name, value)
		}
	}
	for _, field := range []string{"Repr-Digest", "Content-Digest"} { // sha-256=:…:, sha-512=:…:;parameter
		for _, line := range header[field] {
			for item := range strings.SplitSeq(line, ",") {
				name, value, _ := strings.Cut(item, "=")
				value, _, _ = strings.Cut(value, ";")
				found = appendDigest(found, name, strings.Trim(strings.TrimSpace(value), ":"))
			}
		}
	}
	return found
}

func appendDigest(found []digest, name, value string) []digest {
	a := algorithm(strings.ToLower(strings.TrimSpace(name)))
	sum, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if size := a.size(); err != nil || size == 0 || len(sum) != size {
		return found
	}
	return append(found, digest{algorithm: a, sum: sum})
}

// size is the length of a sum in bytes, zero for what we do not know.
func (a algorithm) size() int {
	switch a {
	case algMD5:
		return md5.Size
	case algSHA256:
		return sha256.Size
	case algSHA512:
		return sha512.Size
	default:
		return 0
	}
}

// hashes computes what is needed of one body in one pass. SHA-256 is always needed; the others cost more than all the
// rest of a small move, and are computed only if somebody compares them.
type hashes struct {
	sha256, md5, sha512 hash.Hash // nil if not needed
}

func newHashes(withMD5 bool, digests []digest) hashes {
	h := hashes{sha256: sha256.New()}
	for _, d := range digests {
		withMD5 = withMD5 || d.algorithm == algMD5
		if d.algorithm == algSHA512 {
			h.sha512 = sha512.New()
		}
	}
	if withMD5 {
		h.md5 = md5.New() //nolint:gosec // as above
	}
	return h
}

// Write never fails.
func (h hashes) Write(p []byte) (int, error) {
	for _, one := range []hash.Hash{h.sha256, h.md5, h.sha512} {
		if one != nil {
			_, _ = one.Write(p)
		}
	}
	return len(p), nil
}

// sum gives the result for one algorithm, nil if it was not computed.
func (h hashes) sum(a algorithm) []byte {
	var one hash.Hash
	switch a {
	case algMD5:
		one = h.md5
	case algSHA256:
		one = h.sha256
	case algSHA512:
		one = h.sha512
	}
	if one == nil {
		return nil
	}
	return one.Sum(nil)
}

// verify compares what was computed with what the source said. A doubtful difference is reported as such, for the
// caller to settle in another way.
func (h hashes) verify(digests []digest) (doubtful bool, err error) {
	for _, d := range digests {
		sum := h.sum(d.algorithm)
		switch {
		case bytes.Equal(sum, d.sum):
		case d.doubtful:
			doubtful = true
		default:
			return false, failure(ErrChecksum, "the source says %s %x, its content has %x", d.algorithm, d.sum, sum)
		}
	}
	return doubtful, nil
}
