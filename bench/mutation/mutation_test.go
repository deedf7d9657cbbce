// Package mutation measures how long a GraphQL mutation takes to answer while a thousand moves are under way.
package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
	_ "gocloud.dev/blob/memblob" // mem:// destinations
)

const (
	underWay = 1000                  // slow moves
	interval = 10 * time.Millisecond // between two mutations: 100 a second
	promised = 50 * time.Millisecond // at the 99th percentile
)

// BenchmarkMoveAssetsWhileBusy sends b.N mutations of one asset, 100 a second, over HTTP on loopback to a service with a
// SQLite file, while 1,000 moves are under way. The clock of each starts when it was due and not when it was sent, so that
// a slow answer cannot hide the wait of those behind it. It fails if the 99th percentile is beyond what is promised.
//
//   - room: the new moves start at once, beside the 1,000
//   - full: the 1,000 are all that may run, so that the new ones wait
func BenchmarkMoveAssetsWhileBusy(b *testing.B) {
	b.Run("room", func(b *testing.B) { measure(b, underWay+b.N) })
	b.Run("full", func(b *testing.B) { measure(b, underWay) })
}

func measure(b *testing.B, maxChildren int) {
	ctx := b.Context()
	s := start(b, maxChildren)
	busy := make([]assets.Move, underWay)
	for i := range busy {
		busy[i] = move(fmt.Sprintf("busy/%d.svg", i))
	}
	s.mutate(ctx, b, busy)
	for range underWay {
		<-s.started
	}
	stopProbe := probeDisk(ctx, b)
	took, late := s.load(ctx, b)
	report(b, took, late, stopProbe())
}

// probeDisk syncs a small file a few times a second, and gives how long that took, shortest first: the same disk makes every
// answer wait that falls into one of its pauses.
func probeDisk(ctx context.Context, b *testing.B) (stop func() []time.Duration) {
	file, err := os.Create(filepath.Join(b.TempDir(), "probe"))
	must(b, err)
	ctx, cancel := context.WithCancel(ctx)
	synced := make(chan []time.Duration, 1)
	go func() {
		var took []time.Duration
		for tick := time.NewTicker(5 * interval); ctx.Err() == nil; <-tick.C {
			began := time.Now()
			_, err := file.WriteAt(make([]byte, 4096), 0)
			if err = errors.Join(err, file.Sync()); err != nil {
				b.Error(err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		synced <- took
	}()
	return func() []time.Duration {
		cancel()
		defer func() { must(b, file.Close()) }()
		return <-synced
	}
}

// load sends the mutations. It gives how long each took, shortest first, and how late the machine let each be sent, which
// is in that time and no fault of the service.
func (s *service) load(ctx context.Context, b *testing.B) (took, late []time.Duration) {
	took, late = make([]time.Duration, b.N), make([]time.Duration, b.N)
	var senders sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for i := range took {
		due := began.Add(time.Duration(i) * interval)
		time.Sleep(time.Until(due))
		late[i] = time.Since(due)
		senders.Go(func() {
			s.mutate(ctx, b, []assets.Move{move(fmt.Sprintf("more/%d.svg", i))})
			took[i] = time.Since(due)
		})
	}
	senders.Wait()
	b.StopTimer()
	slices.Sort(took)
	slices.Sort(late)
	return took, late
}

func report(b *testing.B, took, late, synced []time.Duration) {
	p99 := at(took, 0.99)
	for _, point := range []struct {
		name  string
		value time.Duration
	}{{"p50-ms", at(took, 0.5)}, {"p99-ms", p99}, {"max-ms", at(took, 1)}, {"late-p99-ms", at(late, 0.99)}, {"disk-p99-ms", at(synced, 0.99)}, {"disk-max-ms", at(synced, 1)}} {
		b.ReportMetric(float64(point.value)/float64(time.Millisecond), point.name)
	}
	if len(took) >= 100 && p99 > promised { // fewer have no 99th percentile
		b.Errorf("the 99th percentile of %d answers is %s, want %s or less; the machine alone was late by %s, and a sync of its disk took %s, the longest %s",
			len(took), p99, promised, at(late, 0.99), at(synced, 0.99), at(synced, 1))
	}
}

// at gives the value below which that share of the sorted values lies.
func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(share*float64(len(sorted)-1))]
}

// service is a GraphQL service whose moves last until the benchmark ends.
type service struct {
	url     string
	client  *http.Client
	started chan struct{}
}

func start(b *testing.B, maxChildren int) *service {
	s := &service{started: make(chan struct{}, underWay+b.N)}
	mover, err := assets.New(b.Context(), assets.Config{Allow: []string{"https://old.example.com/", "mem://new/"}, TempDir: b.TempDir()})
	must(b, err)
	b.Cleanup(func() { must(b, mover.Close()) })
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tasks.db"), sqlite.Config{})
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	runner, err := actors.StartTaskRunner(b.Context(), actors.TaskRunnerConfig{
		Name: "assets", Store: db, MaxChildren: maxChildren, DrainTimeout: -1,
		Kinds: actors.Kinds{actors.Kind(assets.KindName, s.slowMove, actors.WithCheck(mover.Check))},
	})
	must(b, err)
	b.Cleanup(func() { must(b, runner.Stop(context.Background())) })
	handler, err := graphql.New(graphql.Config{Tasks: db, Runners: []*actors.TaskRunner{runner}, CheckMoves: mover.CheckAll})
	must(b, err)
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	s.url, s.client = server.URL+graphql.Path, server.Client()
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 100 // the usual 2 would measure the making of connections
	return s
}

func (s *service) slowMove(ctx context.Context, _ assets.Move) (assets.Moved, error) {
	s.started <- struct{}{}
	<-ctx.Done()
	return assets.Moved{}, context.Cause(ctx)
}

func move(name string) assets.Move {
	return assets.Move{Source: "https://old.example.com/" + name, Destination: "mem://new/" + name}
}

// mutate sends one mutation and reads its answer. It may be called from any goroutine.
func (s *service) mutate(ctx context.Context, b *testing.B, moves []assets.Move) {
	body, err := json.Marshal(map[string]any{
		"query":     `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id state } }`,
		"variables": map[string]any{"input": moves},
	})
	if err != nil {
		b.Error(err)
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err := io.ReadAll(response.Body); err != nil || strings.Contains(string(answer), `"errors"`) {
		b.Errorf("%v: %.300s", err, answer)
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
