package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// latency is how long the old provider takes for each answer: it is old.
	latency = 30 * time.Millisecond
	// slowFor is how long a slow sample takes.
	slowFor   = 2 * time.Second
	slowSteps = 20
)

// samplesSince is when all samples were last changed.
var samplesSince = time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)

// oldProvider is an HTTP origin with samples, and with index pages of its folders. Some of what it does is wrong on
// purpose; see fault.
type oldProvider struct {
	byName map[string]sample
	pages  map[string][]string // by folder: what is in it

	mu   sync.Mutex
	seen map[string]int // how often each sample was asked for
}

// newOldProvider makes the index pages once: the samples do not change.
func newOldProvider(samples []sample) *oldProvider {
	p := &oldProvider{byName: map[string]sample{}, pages: map[string][]string{}, seen: map[string]int{}}
	for _, s := range samples {
		p.byName[s.name] = s
		dir, file := path.Split(s.name)
		p.pages[dir] = append(p.pages[dir], file)
		if !slices.Contains(p.pages[""], dir) {
			p.pages[""] = append(p.pages[""], dir)
		}
	}
	for _, page := range p.pages {
		slices.Sort(page)
	}
	return p
}

// ServeHTTP gives a sample or an index page.
func (p *oldProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if page, ok := p.pages[name]; ok {
		writePage(w, page)
		return
	}
	s, ok := p.byName[name]
	if !ok || !wait(r.Context(), latency) {
		http.NotFound(w, r)
		return
	}
	p.give(w, r, s, p.count(name))
}

// give answers the so-many-th request for a sample.
func (p *oldProvider) give(w http.ResponseWriter, r *http.Request, s sample, request int) {
	switch {
	case s.fault == missing:
		http.NotFound(w, r)
	case s.fault == forbidden:
		http.Error(w, "forbidden", http.StatusForbidden)
	case s.fault == flaky && request == 1:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "come back later", http.StatusServiceUnavailable)
	case s.fault == broken, s.fault == torn && request == 1:
		s.head(w)
		_, _ = w.Write(s.body[:len(s.body)/2])
		_ = http.NewResponseController(w).Flush() // or nothing at all would have been sent, which clients try again unseen
		panic(http.ErrAbortHandler)               // net/http's own word for: break the connection off
	case s.fault == slow && r.Header.Get("If-None-Match") == "":
		s.head(w)
		drip(r.Context(), w, s.body)
	default:
		s.head(w)
		http.ServeContent(w, r, s.name, samplesSince, bytes.NewReader(s.body))
	}
}

// count is per start: who is started again finds the old provider as faulty as at first.
func (p *oldProvider) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[name]++
	return p.seen[name]
}

// head sets what is known of a sample, and a validator.
func (s sample) head(w http.ResponseWriter) {
	sum := sha256.Sum256(s.body)
	w.Header().Set("Content-Type", s.contentType)
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(s.body)))
}

// drip sends a body in slowSteps parts.
func drip(ctx context.Context, w http.ResponseWriter, body []byte) {
	part := max(1, (len(body)+slowSteps-1)/slowSteps)
	for chunk := range slices.Chunk(body, part) {
		if _, err := w.Write(chunk); err != nil || !wait(ctx, slowFor/slowSteps) {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// wait reports false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// writePage writes what nginx and others make for a folder: links to its files and folders.
func writePage(w http.ResponseWriter, names []string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintln(w, "<!doctype html><title>old provider</title><ul>")
	for _, name := range names {
		_, _ = fmt.Fprintf(w, "<li><a href=\"%[1]s\">%[1]s</a>\n", html.EscapeString(name))
	}
	_, _ = fmt.Fprintln(w, "</ul>")
}
