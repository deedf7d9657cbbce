package actors

import (
	"maps"
	"slices"
	"sync"

	"github.com/taskrunner-go/taskrunner/messages"
)

// registryTable is what a registry knows. It is a map under a lock, so that a lookup costs no message, and nothing that a user
// does can make it crash.
type registryTable[K comparable, V any] struct {
	mu      sync.RWMutex
	entries map[K][]Entry[V]
	keys    map[messages.PID]map[K]int // of each holder, how many entries under which key
}

func newRegistryTable[K comparable, V any]() *registryTable[K, V] {
	return &registryTable[K, V]{entries: map[K][]Entry[V]{}, keys: map[messages.PID]map[K]int{}}
}

// add enters an entry. A unique key that a dead process has is taken from it: waiting for its entry to be cleaned up would
// make a restart under the same key fail (RG-07).
func (t *registryTable[K, V]) add(key K, e Entry[V], unique bool, alive func(messages.Target) bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if holders := t.entries[key]; unique && len(holders) > 0 {
		if alive(holders[0].PID) {
			return &AlreadyRegisteredError{Key: key, PID: holders[0].PID}
		}
		t.drop(key, func(Entry[V]) bool { return true })
	}
	t.entries[key] = append(t.entries[key], e)
	if t.keys[e.PID] == nil {
		t.keys[e.PID] = map[K]int{}
	}
	t.keys[e.PID][key]++
	return nil
}

// remove drops the entries under the key that match, and says how many those were.
func (t *registryTable[K, V]) remove(key K, match func(Entry[V]) bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drop(key, match)
}

// drop is remove for one who holds the lock. match is the user's code, so that all entries are asked for before any is
// touched: a panic changes nothing. Lists are written anew, since others may read the old ones.
func (t *registryTable[K, V]) drop(key K, match func(Entry[V]) bool) int {
	var kept, gone []Entry[V]
	for _, e := range t.entries[key] {
		if match(e) {
			gone = append(gone, e)
		} else {
			kept = append(kept, e)
		}
	}
	for _, e := range gone {
		t.uncount(e.PID, key)
	}
	if t.entries[key] = kept; len(kept) == 0 {
		delete(t.entries, key)
	}
	return len(gone)
}

// uncount notes that a holder has one entry less under the key.
func (t *registryTable[K, V]) uncount(pid messages.PID, key K) {
	if t.keys[pid][key]--; t.keys[pid][key] == 0 {
		delete(t.keys[pid], key)
	}
	if len(t.keys[pid]) == 0 {
		delete(t.keys, pid)
	}
}

// removeAll drops what a process that has ended has left.
func (t *registryTable[K, V]) removeAll(pid messages.PID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range slices.Collect(maps.Keys(t.keys[pid])) {
		t.drop(key, func(e Entry[V]) bool { return e.PID == pid })
	}
}

func (t *registryTable[K, V]) update(key K, pid messages.PID, update func(V) V) (now, before V, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := t.entries[key]
	if len(entries) == 0 || entries[0].PID != pid {
		return now, before, ErrNotRegistered
	}
	before = entries[0].Value
	now = update(before)
	t.entries[key] = []Entry[V]{{pid, now}}
	return now, before, nil
}

func (t *registryTable[K, V]) lookup(key K) []Entry[V] {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.entries[key])
}

func (t *registryTable[K, V]) has(pid messages.PID) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.keys[pid]) > 0
}

func (t *registryTable[K, V]) keysOf(pid messages.PID) []K {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var list []K
	for key, n := range t.keys[pid] {
		list = append(list, slices.Repeat([]K{key}, n)...)
	}
	return list
}

func (t *registryTable[K, V]) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := 0
	for _, entries := range t.entries {
		n += len(entries)
	}
	return n
}

func (t *registryTable[K, V]) snapshot() map[K][]Entry[V] {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make(map[K][]Entry[V], len(t.entries))
	for key, entries := range t.entries {
		all[key] = slices.Clone(entries)
	}
	return all
}
