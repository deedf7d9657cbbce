package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// RegistryKeys says how many entries a key may have.
type RegistryKeys int

// The kinds of registry. There is no default.
const (
	// UniqueKeys have one entry: a name, that a process may be addressed by (RG-04).
	UniqueKeys RegistryKeys = iota + 1
	// DuplicateKeys have any number: a topic, that processes subscribe to (RG-09).
	DuplicateKeys
)

// What callers branch on.
var (
	// ErrAlreadyRegistered says that a living process has the key. Use errors.As with *AlreadyRegisteredError for its PID.
	ErrAlreadyRegistered = errors.New("actors: the key is registered already")
	// ErrNotRegistered says that the process has no entry under the key (RG-08).
	ErrNotRegistered = errors.New("actors: the process has not registered the key")
	// ErrDuplicateKeys says that what was asked for needs unique keys.
	ErrDuplicateKeys = errors.New("actors: the registry has duplicate keys, want one with unique keys")
	// ErrNoProcess says that the context belongs to no process, which alone can hold a key.
	ErrNoProcess = errors.New("actors: the context belongs to no process")
)

// AlreadyRegisteredError is ErrAlreadyRegistered with the holder.
type AlreadyRegisteredError struct {
	Key any
	PID messages.PID // of the process that has it
}

func (e *AlreadyRegisteredError) Error() string {
	return fmt.Sprintf("%v: %v is %s", ErrAlreadyRegistered, e.Key, e.PID)
}

// Is makes errors.Is(e, ErrAlreadyRegistered) true.
func (e *AlreadyRegisteredError) Is(target error) bool { return target == ErrAlreadyRegistered }

// RegistryConfig configures a Registry. Keys is needed.
type RegistryConfig struct {
	Name      messages.Name     // registers the registry's process; a registry under a supervisor needs one, or a Via, to be found again
	Via       messages.Via      // registers it in another registry; the zero Via does not (RG-02)
	Keys      RegistryKeys      // UniqueKeys or DuplicateKeys
	Listeners []messages.Target // get a messages.Registered or Unregistered for each change, but not when a holder dies (RG-13)
}

func (c RegistryConfig) validate() error {
	if c.Keys != UniqueKeys && c.Keys != DuplicateKeys {
		return fmt.Errorf("actors: RegistryConfig: Keys is %d, want UniqueKeys or DuplicateKeys", int(c.Keys))
	}
	return nil
}

// Entry is what a process has registered under a key.
type Entry[V any] struct {
	PID   messages.PID
	Value V
}

// Registry addresses a running registry, which maps keys to processes. It may be copied; its methods are safe from any
// goroutine, wait for nobody, and read a table under a lock, so that the registry's own process is no bottleneck.
//
// Each entry belongs to the process that registered it, and goes with it: soon after its end, not in the same instant
// (RG-06). Keys compare as Go compares them, so that 1 and 1.0 are two (RG-05). A registry that is not there (any more) has no
// entries, and Register fails with messages.NoProc (RG-11). Its end touches no process that has registered (RG-12).
type Registry[K comparable, V any] struct {
	system *System
	target messages.Target
}

// StartRegistry starts a registry. Within a process (ctx belongs to it) it is linked to that process and stops with it;
// otherwise it belongs to the system.
func StartRegistry[K comparable, V any](ctx context.Context, system *System, config RegistryConfig) (*Registry[K, V], error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	server := newRegistryProcess[K, V](system, config)
	pid, err := process.Spawn(ctx, system, server, process.Options{Name: config.Name, Via: config.Via, Link: true, TrapExit: true})
	if err != nil {
		return nil, err
	}
	switch {
	case config.Name != "":
		return RegistryAt[K, V](system, config.Name), nil
	case config.Via.Registry != nil:
		return RegistryAt[K, V](system, config.Via), nil
	}
	return RegistryAt[K, V](system, pid), nil
}

// RegistryAt addresses the registry with this PID, name or Via. One with other types of keys or values is not it.
func RegistryAt[K comparable, V any](system *System, target messages.Target) *Registry[K, V] {
	return &Registry[K, V]{system: system, target: target}
}

// RegistrySpec makes a child spec of a registry, for a supervisor. Its ID is the Name or, without one, "registry". One that is
// started again is empty.
func RegistrySpec[K comparable, V any](system *System, config RegistryConfig) supervisor.ChildSpec {
	id := string(config.Name)
	if id == "" {
		id = "registry"
	}
	return supervisor.ChildSpec{ID: id, Start: func(ctx context.Context) (messages.PID, error) {
		r, err := StartRegistry[K, V](ctx, system, config)
		if err != nil {
			return messages.PID{}, err
		}
		return r.PID(), nil
	}}
}

// process gives the registry's own, or nil.
func (r *Registry[K, V]) process() *registryProcess[K, V] {
	p, _ := process.What(r.system, r.target).(*registryProcess[K, V])
	return p
}

// PID is the registry's process; zero if there is none.
func (r *Registry[K, V]) PID() messages.PID { return process.PIDOf(r.system, r.target) }

// String names the registry in logs.
func (r *Registry[K, V]) String() string { return r.target.String() }

// Stop ends the registry and waits until it is gone.
func (r *Registry[K, V]) Stop(ctx context.Context) error {
	return process.Stop(ctx, r.system, r.target, messages.Shutdown)
}

// Register enters the process that ctx belongs to under the key. With unique keys, a key that a living process has, this
// one included, gives an *AlreadyRegisteredError and leaves its value (RG-04); that of a dead one is free (RG-07). The other
// errors are ErrNoProcess, messages.NoProc, and one for a key that cannot be compared or is not equal to itself (NaN).
func (r *Registry[K, V]) Register(ctx context.Context, key K, value V) error {
	self, ok := process.Self(ctx)
	if !ok {
		return ErrNoProcess
	}
	return r.register(key, self, value)
}

func (r *Registry[K, V]) register(key K, pid messages.PID, value V) error {
	p := r.process()
	if p == nil {
		return fmt.Errorf("actors: registry %s: %w", r, messages.NoProc)
	}
	if err := comparableKey(key); err != nil {
		return err
	}
	if err := p.table.add(key, Entry[V]{pid, value}, p.config.Keys == UniqueKeys, r.system.Alive); err != nil {
		return err
	}
	p.changed(pid, messages.Registered{Registry: p.config.Name, Key: key, PID: pid, Value: value})
	return nil
}

// comparableKey refuses a key that would make a map panic: with K as any, or a struct that has one, its type does not say. And
// one that is not equal to itself, which is NaN or has one in it: no map ever finds it again, to look it up or to drop it.
func comparableKey[K comparable](key K) error {
	if v := reflect.ValueOf(key); v.IsValid() && !v.Comparable() {
		return fmt.Errorf("actors: the key is a %T, want a value that can be compared", key)
	}
	if same := key; same != key {
		return fmt.Errorf("actors: the key is %v, want a value that is equal to itself, which NaN is not", key)
	}
	return nil
}

// Unregister drops all entries that the process of ctx has under the key, and no others; none is as good (RG-08, RG-09).
func (r *Registry[K, V]) Unregister(ctx context.Context, key K) {
	r.UnregisterMatch(ctx, key, func(V) bool { return true })
}

// UnregisterMatch is Unregister for those entries whose value match is true for. match runs in the caller, while the registry
// waits: it must be quick, and not use the registry. If it panics, nothing is dropped.
func (r *Registry[K, V]) UnregisterMatch(ctx context.Context, key K, match func(value V) bool) {
	self, ok := process.Self(ctx)
	p := r.process()
	if !ok || p == nil || comparableKey(key) != nil {
		return
	}
	for range p.table.remove(key, func(e Entry[V]) bool { return e.PID == self && match(e.Value) }) {
		p.changed(self, messages.Unregistered{Registry: p.config.Name, Key: key, PID: self})
	}
}

// UpdateValue puts another value in the place of the one that the process of ctx has under the key, and gives both. update
// runs in the caller, while the registry waits: it must be quick, and not use the registry. The error is ErrNotRegistered
// for anybody but the holder, ErrDuplicateKeys, or messages.NoProc (RG-08).
func (r *Registry[K, V]) UpdateValue(ctx context.Context, key K, update func(value V) V) (now, before V, err error) {
	self, _ := process.Self(ctx)
	p := r.process()
	switch {
	case p == nil:
		return now, before, fmt.Errorf("actors: registry %s: %w", r, messages.NoProc)
	case p.config.Keys != UniqueKeys:
		return now, before, ErrDuplicateKeys
	case comparableKey(key) != nil:
		return now, before, ErrNotRegistered
	}
	return p.table.update(key, self, update)
}

// Lookup gives the entries under the key, in the order in which they were registered; none is empty. With unique keys there is
// at most one. A process in it may be dead by now (RG-06).
func (r *Registry[K, V]) Lookup(key K) []Entry[V] {
	p := r.process()
	if p == nil || comparableKey(key) != nil {
		return nil
	}
	return p.table.lookup(key)
}

// Whereis gives the living process that has the unique key.
func (r *Registry[K, V]) Whereis(key K) (messages.PID, bool) {
	for _, e := range r.Lookup(key) {
		if r.system.Alive(e.PID) {
			return e.PID, true
		}
	}
	return messages.PID{}, false
}

// Dispatch calls f with the entries under the key, in the caller, and not at all if there are none (RG-10).
func (r *Registry[K, V]) Dispatch(key K, f func(entries []Entry[V])) {
	if entries := r.Lookup(key); len(entries) > 0 {
		f(entries)
	}
}

// Keys gives the keys that the process has, one for each entry, in no order.
func (r *Registry[K, V]) Keys(pid messages.PID) []K {
	if p := r.process(); p != nil {
		return p.table.keysOf(pid)
	}
	return nil
}

// Values gives the values that the process has under the key.
func (r *Registry[K, V]) Values(key K, pid messages.PID) []V {
	var values []V
	for _, e := range r.Lookup(key) {
		if e.PID == pid {
			values = append(values, e.Value)
		}
	}
	return values
}

// Count is the number of entries.
func (r *Registry[K, V]) Count() int {
	if p := r.process(); p != nil {
		return p.table.count()
	}
	return 0
}

// All gives all entries as they are when the range begins, in no order (OTP: Registry.select).
func (r *Registry[K, V]) All() iter.Seq2[K, Entry[V]] {
	return func(yield func(K, Entry[V]) bool) {
		p := r.process()
		if p == nil {
			return
		}
		for key, entries := range p.table.snapshot() {
			for _, e := range entries {
				if !yield(key, e) {
					return
				}
			}
		}
	}
}

// Via is the key as a name: for starting a process under it, whose entry has the zero value, and as a target for calls and
// messages (RG-02). With duplicate keys a process cannot be started under it, and nobody is reached by it.
func (r *Registry[K, V]) Via(key K) messages.Via {
	var none V
	return r.ViaValue(key, none)
}

// ViaValue is Via with a value for the entry.
func (r *Registry[K, V]) ViaValue(key K, value V) messages.Via {
	return messages.Via{Registry: viaNames[K, V]{r, value}, Key: key}
}

// viaNames makes a registry one of names.
type viaNames[K comparable, V any] struct {
	*Registry[K, V]
	value V
}

func (v viaNames[K, V]) RegisterName(key any, pid messages.PID) error {
	typed, ok := key.(K)
	switch p := v.process(); {
	case !ok:
		return fmt.Errorf("actors: Via: the key is a %T, want a %s", key, reflect.TypeFor[K]())
	case p != nil && p.config.Keys != UniqueKeys:
		return ErrDuplicateKeys
	}
	return v.register(typed, pid, v.value)
}

// UnregisterName takes back the entry of a process whose start has failed. No listener is told: as if it had ended (RG-13).
func (v viaNames[K, V]) UnregisterName(key any, pid messages.PID) {
	typed, ok := key.(K)
	p := v.process()
	if !ok || p == nil || comparableKey(typed) != nil {
		return
	}
	p.table.remove(typed, func(e Entry[V]) bool { return e.PID == pid })
	p.changed(pid, nil)
}

func (v viaNames[K, V]) WhereisName(key any) (messages.PID, bool) {
	typed, ok := key.(K)
	p := v.process()
	if !ok || p == nil || p.config.Keys != UniqueKeys {
		return messages.PID{}, false
	}
	return v.Whereis(typed)
}
