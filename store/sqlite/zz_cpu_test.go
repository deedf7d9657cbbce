package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

func cpuNow() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	s := open(t, tempFile(t))
	const size = 1000
	var ins, fin, wi, wf []time.Duration
	outcomes := make([]store.Outcome, size)
	for r := range 150 {
		tasks := benchTasks(r*size, size, "node-1")
		c, w := cpuNow(), time.Now()
		inserted, err := s.Insert(t.Context(), benchTime, tasks)
		if err != nil {
			t.Fatal(err)
		}
		ins, wi = append(ins, cpuNow()-c), append(wi, time.Since(w))
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		c, w = cpuNow(), time.Now()
		finish(t, s, outcomes)
		fin, wf = append(fin, cpuNow()-c), append(wf, time.Since(w))
	}
	for i, d := range [][]time.Duration{ins, fin, wi, wf} {
		slices.Sort(d)
		fmt.Printf("%s p10 %v med %v  ", []string{"ins cpu", "fin cpu", "ins wall", "fin wall"}[i], d[len(d)/10]/size, d[len(d)/2]/size)
	}
	fmt.Println()
}

func TestYY(t *testing.T) {
	if os.Getenv("YY") == "" {
		t.Skip()
	}
	for _, callers := range []int{16, 256} {
		s := open(t, tempFile(t))
		var wg sync.WaitGroup
		c, w := cpuNow(), time.Now()
		const each = 400
		for range callers {
			wg.Go(func() {
				for i := range each {
					if _, err := s.Insert(context.Background(), benchTime, []store.NewTask{benchTask(int(i), "")}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		n := time.Duration(callers * each)
		fmt.Println(callers, "cpu", (cpuNow()-c)/n, "wall", time.Since(w)/n)
	}
}

func TestXX(t *testing.T) {
	if os.Getenv("XX") == "" {
		t.Skip()
	}
	s := open(t, os.Getenv("XX"))
	for n := 0; n < 1_000_000; n += 10_000 {
		inserted, err := s.Insert(t.Context(), benchTime, benchTasks(n, 10_000, "node-1"))
		if err != nil {
			t.Fatal(err)
		}
		outcomes := make([]store.Outcome, len(inserted))
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		finish(t, s, outcomes)
	}
}
