package assets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// A Mover moves assets. Make one with [New]; any number of goroutines may use it. It owns a temporary folder, the open
// buckets and the connections to HTTP origins until [Mover.Close].
type Mover struct {
	config    Config // with its defaults
	allow     allowList
	origin    *origin
	transport *http.Transport
	temp      *os.Root
	scratch   *scratch
	slots     map[string]*slots // by host or bucket; see slot
	locks     *nameLocks
	buffers   buffers
	places    []place

	ctx      context.Context // ends when the mover is closed
	cancel   context.CancelCauseFunc
	mu       sync.RWMutex // held for reading while a call begins, for writing by Close
	calls    sync.WaitGroup
	released sync.Once
}

// New opens every bucket and folder of the allow-list, and removes temporary files that killed processes left in
// Config.TempDir and below the file: destinations. It fails if Config is not valid or a folder is missing; that a bucket
// can be reached is only found out when it is used.
func New(ctx context.Context, config Config) (*Mover, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	m := &Mover{config: config.withDefaults(), slots: make(map[string]*slots), locks: newNameLocks()}
	m.ctx, m.cancel = context.WithCancelCause(context.Background())
	if err := m.open(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// open does what can fail. Close undoes as much of it as was done.
func (m *Mover) open(ctx context.Context) error {
	var err error
	if m.allow, err = parseAllow(m.config.Allow); err != nil {
		return err
	}
	m.transport = newTransport(m.config, &guard{
		resolver: m.config.Resolver,
		allowed:  m.config.AllowAddresses,
		byHost:   m.allow.exemptions(),
	})
	m.origin = &origin{client: m.transport, allow: m.allow}
	if err := m.openPlaces(ctx); err != nil {
		return err
	}
	if m.temp, err = os.OpenRoot(m.config.TempDir); err != nil {
		return fmt.Errorf("assets: Config.TempDir %s: %w", quoted(m.config.TempDir), err)
	}
	m.sweep(m.temp)
	m.scratch, err = newScratch(m.temp)
	return err
}

// openPlaces opens the place of each prefix. Prefixes of the same bucket with the same parameters share one.
func (m *Mover) openPlaces(ctx context.Context) error {
	buckets := make(map[string]place)
	memory := semaphore.NewWeighted(m.config.MaxUploadMemory)
	for i := range m.allow {
		p := &m.allow[i]
		host := p.at.scheme + "://" + p.at.host
		m.slots[host] = newSlots(host, m.config.MaxPerHost)
		var err error
		switch p.at.scheme {
		case "http", "https":
			continue
		case "file":
			err = m.openFolder(p)
		default:
			err = m.openBucket(ctx, p, buckets, memory)
		}
		if err != nil {
			return &cleanError{fmt.Sprintf("Config.Allow[%d] %s", i, quoted(m.config.Allow[i])), err}
		}
	}
	return m.allow.nest()
}

func (m *Mover) openFolder(p *prefix) error {
	f, err := openFolder(*p, m.config, m.locks)
	if err != nil {
		return err
	}
	if p.write {
		m.sweep(f.root)
	}
	p.place = f
	m.places = append(m.places, f)
	return nil
}

func (m *Mover) openBucket(ctx context.Context, p *prefix, opened map[string]place, memory *semaphore.Weighted) error {
	if !m.config.Mux.ValidBucketScheme(p.at.scheme) {
		return fmt.Errorf("has the scheme %s:, which is not supported here; want %s", p.at.scheme, strings.Join(m.schemes(), ", "))
	}
	url := p.at.scheme + "://" + p.at.host
	if p.params != "" {
		url += "?" + p.params
	}
	if p.place = opened[url]; p.place != nil {
		return nil
	}
	b, err := m.config.Mux.OpenBucket(ctx, url)
	if err != nil {
		return err
	}
	p.place = &bucket{blob: b, memory: memory, budget: m.config.MaxUploadMemory, stall: m.config.StallTimeout}
	opened[url] = p.place
	m.places = append(m.places, p.place)
	return nil
}

// schemes gives what a line of Config.Allow can begin with: ours, and those whose drivers the program imports.
func (m *Mover) schemes() []string {
	all := append([]string{"file", "http", "https"}, m.config.Mux.BucketSchemes()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// sweep removes what the dead left. That it could not is no reason not to start.
func (m *Mover) sweep(root *os.Root) {
	removed, err := sweep(root, time.Now())
	if removed > 0 || err != nil {
		m.config.Logger.Info("removed temporary folders of dead processes", "in", root.Name(), "count", removed, "error", err)
	}
}

// Close ends all moves that are under way with [ErrClosed], waits for them, removes the temporary files, and closes
// buckets and connections. Calls after it fail with ErrClosed. It may be called more than once.
func (m *Mover) Close() error {
	m.mu.Lock()
	m.cancel(ErrClosed)
	m.mu.Unlock()
	m.calls.Wait()
	var err error
	m.released.Do(func() { err = m.release() })
	return err
}

// release gives back what open took, as far as it came.
func (m *Mover) release() error {
	var errs []error
	if m.transport != nil {
		m.transport.CloseIdleConnections()
	}
	for _, p := range m.places {
		errs = append(errs, p.close())
	}
	if m.scratch != nil {
		errs = append(errs, m.scratch.close())
	}
	if m.temp != nil {
		errs = append(errs, m.temp.Close())
	}
	return errors.Join(errs...)
}

// begin counts a call, so that Close waits for it, and gives it a context that Close ends.
func (m *Mover) begin(ctx context.Context) (context.Context, func(), error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ctx.Err() != nil {
		return nil, nil, ErrClosed
	}
	m.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(m.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		m.calls.Done()
	}, nil
}

// slot waits until the host or bucket of l has room for one more request, and gives what makes room again; see
// slots.acquire. Local folders have no limit. A move holds one slot at a time, so that two of them cannot wait for each
// other.
func (m *Mover) slot(ctx context.Context, l location) (release func(), err error) {
	if s := m.slotsOf(l); s != nil {
		return s.acquire(ctx)
	}
	return func() {}, nil
}

// await fails if the host or bucket of l is known to be stuck: what is downloaded for it would be downloaded in vain.
func (m *Mover) await(ctx context.Context, l location) error {
	s := m.slotsOf(l)
	if s == nil || !s.stuck() {
		return nil
	}
	release, err := s.acquire(ctx)
	if err == nil {
		release()
	}
	return err
}

// slotsOf gives the slots of a host or bucket, nil if there is no limit.
func (m *Mover) slotsOf(l location) *slots {
	if l.scheme == "file" {
		return nil
	}
	return m.slots[l.scheme+"://"+l.host]
}
