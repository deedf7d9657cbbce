package assets

import (
	"bytes"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// result is what one turn of one client gave.
type result struct {
	files   int
	took    time.Duration // from the start of the process to its end
	cpu     time.Duration // of the client
	gateway time.Duration // processor time of the S3 server meanwhile
	memory  float64       // the most that the client had at a time, in MiB; 0 if that is not known
}

func (r result) rate() float64 { return float64(r.files) / r.took.Seconds() }

// kibibytes is how many of its unit of memory the kernel has in a MiB.
const kibibytes = 1 << 10

// measure runs a client to its end. What others have written is brought to the disk first, so that nobody pays for it.
func measure(cmd *exec.Cmd, gateway *servertest.Gateway) (r result, err error) {
	syscall.Sync()
	before, err := cpuOf(gateway)
	if err != nil {
		return r, err
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err = cmd.Run(); err != nil {
		return r, fmt.Errorf("%s: %w\n%s", cmd, err, output.Bytes())
	}
	r.took = time.Since(began)
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	after, err := cpuOf(gateway)
	r.gateway = after - before
	if err != nil {
		return r, err
	}
	r.memory = peak(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return r, nil
}

// cpuOf is zero where there is no gateway.
func cpuOf(gateway *servertest.Gateway) (time.Duration, error) {
	if gateway == nil {
		return 0, nil
	}
	return gateway.CPUTime()
}

// peak is the most memory that a client had, in MiB, of which the kernel says so many KiB. The kernel counts a process as ours until
// it has become the program that it is to be, and never forgets what we had then. So what is not above our own peak says nothing.
func peak(theirs int64) float64 {
	var ours syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ours); err != nil || theirs <= ours.Maxrss {
		return 0
	}
	return float64(theirs) / kibibytes
}
