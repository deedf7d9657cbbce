package assets

import (
	"hash/maphash"
	"strings"
	"sync"
)

// nameLocks keep an asset and its sidecar file together: they are two files, and two moves to one destination could else
// leave the content of one with the content type of the other. All folders of a mover share them.
type nameLocks struct {
	seed maphash.Seed
	// locks are more than there are moves at a time, so that different names seldom meet.
	locks [256]sync.RWMutex
}

func newNameLocks() *nameLocks { return &nameLocks{seed: maphash.MakeSeed()} }

// of gives the lock for the last element of a name. The folder does not count: links and folders that are allowed twice
// give it several names, while the last element of a destination is what it is. Nor does case, which not every file
// system tells apart.
func (l *nameLocks) of(base string) *sync.RWMutex {
	return &l.locks[maphash.String(l.seed, strings.ToLower(base))%uint64(len(l.locks))]
}
