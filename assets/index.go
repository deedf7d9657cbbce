package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
)

const (
	// maxIndexPages, maxIndexPage and maxIndexDepth limit what is read of an HTTP origin's index pages: their number, the
	// bytes of each, and how deep folders lie in each other. An origin can make up links without end.
	maxIndexPages = 10_000
	maxIndexPage  = 32 << 20
	maxIndexDepth = 64
	// indexAttempts is how often one page is asked for, and indexBackoff the wait before the second time, which then
	// doubles. A list has no task around it that could be tried again.
	indexAttempts = 6
	indexBackoff  = 200 * time.Millisecond
)

// Index gives the names of all assets below from, relative to it, decoded and with slashes between their elements:
// what [Join] takes. From must be allowed as a source. Buckets are listed, folders are walked. Of an HTTP origin the
// links of its index pages are followed (nginx, Apache and others make such pages for folders), as far as they lie
// below from; a link that ends with a slash is a folder.
//
// An error with a name is about that name only, and the list goes on: a name that cannot be used, a link with a query, a
// folder that cannot be listed or is a link. An error without a name is the last. The order is that of the source.
func (m *Mover) Index(ctx context.Context, from string) iter.Seq2[string, error] {
	return func(yield func(name string, err error) bool) {
		ctx, end, err := m.begin(ctx)
		if err != nil {
			yield("", err)
			return
		}
		defer end()
		l, src, err := m.resolveIndex(from)
		if err != nil {
			yield("", err)
			return
		}
		for name, err := range src.list(ctx, l) {
			if name == "" {
				yield("", &cleanError{"listing " + l.public(), orCause(ctx, err)})
				return
			}
			if err == nil {
				_, err = l.join(name)
			}
			if err != nil {
				err = fmt.Errorf("assets: the name %s %w", quoted(name), err)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// resolveIndex finds what can list a URL.
func (m *Mover) resolveIndex(from string) (location, lister, error) {
	fail := func(reason error, kind error) (location, lister, error) {
		return location{}, nil, &InputError{Index: -1, Field: "source", Value: quoted(from), Reason: reason.Error(), Kind: kind}
	}
	l, err := parseLocation(from)
	if err != nil {
		return fail(err, ErrInvalid)
	}
	if l.query != "" {
		return fail(errors.New("has a query, which a folder has not"), ErrInvalid)
	}
	if !l.dir {
		l.dir, l.wire = true, l.wire+"/" // who writes /img and who writes /img/ means the same folder
	}
	p, err := m.allow.find(l, false)
	if err != nil {
		return fail(err, ErrNotAllowed)
	}
	if l.isHTTP() {
		return l, &originIndex{m}, nil
	}
	return l, p.place, nil
}

// originIndex lists HTTP origins.
type originIndex struct{ mover *Mover }

// list reads page after page, each to its end before the first name of it is given, so that no connection waits for
// whoever takes the names.
func (o *originIndex) list(ctx context.Context, top location) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := []location{top}
		seen := map[string]bool{} // by URL
		for read := 0; len(pages) > 0; read++ {
			if read == maxIndexPages {
				yield("", fmt.Errorf("%w: more than %d folders", ErrIndex, maxIndexPages))
				return
			}
			page := pages[len(pages)-1]
			pages = pages[:len(pages)-1]
			links, err := o.page(ctx, page, top)
			if err != nil && (ctx.Err() != nil || read == 0) {
				yield("", fmt.Errorf("%s: %w", page.public(), err))
				return
			}
			if err != nil && !yield(page.nameBelow(top)+"/", fmt.Errorf("is a folder that cannot be listed: %w", err)) {
				return
			}
			for _, found := range links {
				if seen[found.key] {
					continue
				}
				seen[found.key] = true
				switch depth := len(found.at.path) - len(top.path); {
				case !found.at.dir || found.err != nil:
					if !yield(found.name, found.err) {
						return
					}
				case depth > maxIndexDepth:
					yield("", fmt.Errorf("%w: folders more than %d deep", ErrIndex, maxIndexDepth))
					return
				default:
					pages = append(pages, found.at)
				}
			}
		}
	}
}

// page gives the links of one page, and tries again what may heal.
func (o *originIndex) page(ctx context.Context, page, top location) ([]link, error) {
	for attempt := range indexAttempts {
		links, err := o.read(ctx, page, top)
		var decision *messages.Decision
		if !errors.As(decide(ctx, err), &decision) || decision.Verb != messages.VerbRetry || attempt == indexAttempts-1 {
			return links, err
		}
		wait := max(indexBackoff<<attempt, decision.After)
		timer := time.NewTimer(wait + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
	return nil, nil
}

// read asks for a page once.
func (o *originIndex) read(ctx context.Context, page, top location) ([]link, error) {
	// No task waits for a list, so it waits for as long as its caller does.
	if s := o.mover.slotsOf(page); s != nil {
		release, err := s.wait(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	guard := newStallGuard(ctx, o.mover.config.StallTimeout)
	defer guard.stop()
	response, err := o.mover.origin.fetch(guard.ctx, page, nil)
	if err != nil {
		return nil, orCause(guard.ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := checkIndexType(response.Header); err != nil {
		return nil, err
	}
	body := &io.LimitedReader{R: guard.reader(response.Body), N: maxIndexPage + 1}
	// Relative links are relative to where a redirect led. A page elsewhere has no links below top, and an empty list
	// would be taken for an empty folder.
	if at, err := parseLocation(response.Request.URL.String()); err != nil || !at.below(top) {
		return nil, fmt.Errorf("%w: it is redirected to %s", ErrIndex, quoted(response.Request.URL.String()))
	}
	links, err := indexLinks(body, response.Request.URL, top)
	if body.N <= 0 {
		return nil, fmt.Errorf("%w: a page of more than %d bytes", ErrIndex, maxIndexPage)
	}
	return links, orCause(guard.ctx, err)
}

// checkIndexType keeps an asset from being read as if it were a page.
func checkIndexType(header http.Header) error {
	name, _, _ := strings.Cut(mediaType(header.Get("Content-Type")), ";")
	if name == "text/html" || name == "application/xhtml+xml" {
		return nil
	}
	return fmt.Errorf("%w: the origin gives %s and no index page", ErrIndex, quoted(header.Get("Content-Type")))
}
