package assets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "gocloud.dev/blob/s3blob"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/messages"
)

// transfers is how many moves run at the same time.
const transfers = 64

// someSVGs gives a folder with every so-many-th of the real assets, and their names in order.
func someSVGs(t testing.TB, every int) (dir string, names []string) {
	t.Helper()
	all, dir := servertest.MDISVG(t), t.TempDir()
	entries, err := os.ReadDir(all)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(entries); i += every {
		name := entries[i].Name()
		content, err := os.ReadFile(filepath.Join(all, name))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		writeFile(t, dir+"/"+name, string(content))
	}
	return dir, names
}

// moveAll moves every name, each until it arrives or is given up, and gives the outcomes and how many runs failed.
func moveAll(t testing.TB, m *assets.Mover, from, to string, names []string, previous map[string]assets.Moved) (map[string]assets.Moved, int) {
	t.Helper()
	var mu sync.Mutex
	var failed atomic.Int64
	outcomes := make(map[string]assets.Moved, len(names))
	queue := make(chan string)
	var group sync.WaitGroup
	for range transfers {
		group.Go(func() {
			for name := range queue {
				var before *assets.Moved
				if p, ok := previous[name]; ok {
					before = &p
				}
				moved, err := moveUntilDone(t.Context(), m, from, to, name, before, &failed)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				outcomes[name] = moved
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	group.Wait()
	return outcomes, int(failed.Load())
}

func moveUntilDone(ctx context.Context, m *assets.Mover, from, to, name string, previous *assets.Moved, failed *atomic.Int64) (assets.Moved, error) {
	source, err := assets.Join(from, name)
	if err != nil {
		return assets.Moved{}, err
	}
	target, err := assets.Join(to, name)
	for err == nil {
		var moved assets.Moved
		var decision *messages.Decision
		moved, err = m.Move(ctx, assets.Move{Source: source, Destination: target}, previous, nil)
		if err == nil {
			return moved, nil
		}
		if !errors.As(err, &decision) || decision.Verb != messages.VerbRetry {
			break
		}
		failed.Add(1)
		err = nil // again, at once: the servers are ours
	}
	return assets.Moved{}, err
}

// From a real nginx to a folder and to a real S3 server: all arrive, byte for byte, and nothing is copied twice.
func TestRealServers(t *testing.T) {
	t.Parallel()
	dir, names := someSVGs(t, 25)
	base, to := servertest.Nginx(t, dir), t.TempDir()
	mux, bucket := s3Mux(t)
	m := newMover(t, assets.Config{Mux: mux, Allow: []string{base, "s3://new/icons/", "file://" + to}}, to)
	wantIndex(t, m, base, names, nil)
	read := map[string]func(name string) ([]byte, error){
		"file://" + to:   func(name string) ([]byte, error) { return os.ReadFile(to + "/" + name) },
		"s3://new/icons": func(name string) ([]byte, error) { return bucket.ReadAll(t.Context(), "icons/"+name) },
	}
	for prefix, get := range read {
		first, _ := moveAll(t, m, base, prefix, names, nil)
		for name, moved := range first {
			want, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := get(name)
			if err != nil || string(got) != string(want) || moved.SHA256 != hashOf(string(want)) || moved.ContentType != "image/svg+xml" || !moved.Copied {
				t.Errorf("%s/%s: %v, outcome %+v", prefix, name, err, moved)
			}
		}
		again, _ := moveAll(t, m, base, prefix, names, first)
		for name, moved := range again {
			if moved.Copied || moved.Unchanged != assets.ByValidator || moved.Validators != first[name].Validators {
				t.Errorf("%s/%s: again %+v", prefix, name, moved)
			}
		}
		wantIndex(t, m, prefix, names, nil)
	}
	attributes, err := bucket.Attributes(t.Context(), "icons/"+names[0])
	if err != nil || attributes.ContentType != "image/svg+xml" {
		t.Errorf("S3 has %+v, %v", attributes, err)
	}
	// From S3 to a folder and back from there, with what S3 knows of the asset.
	back, _ := moveAll(t, m, "s3://new/icons", "file://"+to+"/back", names[:20], nil)
	for name, moved := range back {
		if moved.ContentType != "image/svg+xml" || moved.Validators.ETag == "" {
			t.Errorf("from S3: %s: %+v", name, moved)
		}
	}
	again, _ := moveAll(t, m, "s3://new/icons", "file://"+to+"/back", names[:20], back)
	for name, moved := range again {
		if moved.Copied || moved.Unchanged != assets.ByValidator {
			t.Errorf("from S3 again: %s: %+v", name, moved)
		}
	}
	d := fails(t, m, "s3://new/icons/none.svg", "file://"+to+"/none.svg")
	wantVerb(t, d, messages.VerbDiscard, nil)
}

// One request of twenty fails, and everything arrives nevertheless.
func TestRealServersThatFail(t *testing.T) {
	t.Parallel()
	dir, names := someSVGs(t, 15)
	base, to := servertest.Nginx(t, dir, servertest.FailPercent(5)), t.TempDir()
	m := newMover(t, assets.Config{Allow: []string{base, "file://" + to}}, to)
	wantIndex(t, m, base, names, nil)
	outcomes, failed := moveAll(t, m, base, "file://"+to, names, nil)
	if len(outcomes) != len(names) {
		t.Errorf("%d outcomes for %d assets", len(outcomes), len(names))
	}
	// Of 497 requests none failing has a chance of 1 in 10^11.
	if failed == 0 {
		t.Error("no request failed, so nothing was shown")
	}
	for _, name := range names {
		want, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, to+"/"+name, string(want))
	}
	wantNoTemporary(t, to)
}

// A GiB from nginx to S3 goes through a process of less than 100 MB, with the allow-list as an operator writes it.
func TestLargeObject(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a GiB")
	}
	dir := t.TempDir()
	largeFile(t, dir+"/large.bin")
	base := servertest.Nginx(t, dir)
	endpoint, access, secret := servertest.VersityGW(t, "new")
	allow := "s3://new/x?endpoint=" + endpoint + "&region=" + servertest.Region + "&use_path_style=true&response_checksum_validation=when_required"
	env := []string{"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_EC2_METADATA_DISABLED=true"}
	to := t.TempDir()
	for _, target := range []string{"s3://new/x/large.bin", "file://" + to + "/large.bin"} {
		r := runJob(t, job{
			Config: assets.Config{TempDir: t.TempDir(), Allow: []string{base, allow, "file://" + to}},
			Move:   assets.Move{Source: base + "/large.bin", Destination: target},
		}, env...)
		wantSmall(t, r)
		t.Logf("%s in %s", target, r.Moved.FinishedAt.Sub(r.Moved.StartedAt))
	}
	wantSame(t, dir+"/large.bin", to+"/large.bin")
}

// BenchmarkMove moves real assets from nginx with 64 transfers; ns/op is the time for one asset, cpu-µs/op the processor
// time of this process for it, servers not counted. The latter hardly depends on what else the machine does.
func BenchmarkMove(b *testing.B) {
	dir, names := someSVGs(b, 4)
	base := servertest.Nginx(b, dir)
	run := func(b *testing.B, config assets.Config, prefix string) {
		m := newMover(b, config)
		b.ResetTimer()
		before := cpuTime(b)
		for done := 0; done < b.N; done += len(names) {
			// A new folder each time: replacing a file is another matter, for which ext4 flushes the new content first.
			moveAll(b, m, base, fmt.Sprintf("%s/%d", prefix, done), names[:min(len(names), b.N-done)], nil)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
		b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	}
	b.Run("file", func(b *testing.B) {
		to := b.TempDir()
		run(b, assets.Config{Allow: []string{base, "file://" + to}, MaxPerHost: transfers}, "file://"+to)
	})
	b.Run("s3", func(b *testing.B) {
		mux, _ := s3Mux(b)
		run(b, assets.Config{Mux: mux, Allow: []string{base, "s3://new"}, MaxPerHost: transfers}, "s3://new")
	})
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
