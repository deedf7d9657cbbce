package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// wire connects machines by carrying their packets itself, badly. The kernel's netem can do that too, and is not in every kernel. Each
// machine's device is a TUN: what the kernel sends over it is read here, and what is written here has arrived.
type wire struct {
	quality quality
	ends    map[[4]byte]*os.File // by address
	carried carried
	ctx     context.Context
	cancel  context.CancelFunc
	reading sync.WaitGroup
	flying  sync.WaitGroup // packets
}

// carried counts packets.
type carried struct{ packets, lost, doubled, late atomic.Int64 }

// newWire makes the devices of the machines and begins to carry.
func newWire(ctx context.Context, machines []*machine, q quality, seed uint64) (*wire, error) {
	w := &wire{quality: q, ends: map[[4]byte]*os.File{}}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i, m := range machines {
		name := fmt.Sprint("tun", i)
		device, err := openTUN(name)
		if err == nil {
			w.ends[[4]byte{10, 77, 0, byte(i + 1)}] = device
			err = ip(ctx, nil, "link set "+name+" netns "+m.path()+" name net0")
		}
		if err != nil {
			w.close()
			return nil, fmt.Errorf("%w: a TUN device: %w", errMissing, err)
		}
	}
	number := uint64(0)
	for _, device := range w.ends {
		number++
		rng := rand.New(rand.NewPCG(seed, number))
		w.reading.Go(func() { w.carry(device, rng) })
	}
	return w, nil
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// close ends the carrying; what is under way is lost.
func (w *wire) close() {
	w.cancel()
	for _, device := range w.ends {
		_ = device.SetReadDeadline(time.Unix(1, 0)) // it has an end of the kernel's only when it is closed
	}
	w.reading.Wait()
	w.flying.Wait()
	for _, device := range w.ends {
		_ = device.Close()
	}
}

// largest is the largest packet.
const largest = 64 << 10

// carry carries what one machine sends.
func (w *wire) carry(from *os.File, rng *rand.Rand) {
	buffer := make([]byte, largest)
	for w.ctx.Err() == nil {
		n, err := from.Read(buffer)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
				return
			}
			pauseWire(w.ctx)
			continue // while the device is down
		}
		if to := w.ends[destination(buffer[:n])]; to != nil {
			w.carried.packets.Add(1)
			w.send(to, append([]byte(nil), buffer[:n]...), w.quality.fate(rng))
		}
	}
}

// pauseWire is for a device that is down: it has nothing to read and is not waited for.
func pauseWire(ctx context.Context) {
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
	}
}

// destination is where an IPv4 packet goes; nowhere if it is none.
func destination(packet []byte) (to [4]byte) {
	if len(packet) >= 20 && packet[0]>>4 == 4 {
		copy(to[:], packet[16:20])
	}
	return to
}

// send has copies of a packet arrive after these times.
func (w *wire) send(to *os.File, packet []byte, f fate) {
	switch {
	case len(f.after) == 0:
		w.carried.lost.Add(1)
	case len(f.after) > 1:
		w.carried.doubled.Add(1)
	}
	if f.late {
		w.carried.late.Add(1)
	}
	for _, after := range f.after {
		w.flying.Add(1)
		time.AfterFunc(after, func() {
			defer w.flying.Done()
			_, _ = to.Write(packet) // a device that is down loses it
		})
	}
}

// print shows what was carried.
func (w *wire) print(out io.Writer) {
	c := &w.carried
	_, _ = fmt.Fprintf(out, "packets carried: %d, of which %d lost, %d doubled, %d late\n", c.packets.Load(), c.lost.Load(), c.doubled.Load(), c.late.Load())
}
