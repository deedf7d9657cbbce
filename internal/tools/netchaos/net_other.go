//go:build !linux

package main

import (
	"context"
	"io"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// Networks are made on Linux only. This is built elsewhere too, so that the rest is not forgotten there.
type (
	machine struct{ name, address string }
	network struct {
		machines []*machine
		wire     *wire
	}
	wire struct{}
)

func newNetwork(context.Context, []string, *quality, uint64) (*network, error) {
	return nil, harness.ErrLinux
}

func (*network) close() {}

func (*machine) enter() error                       { return harness.ErrLinux }
func (*machine) cut(context.Context, string) error  { return harness.ErrLinux }
func (*machine) heal(context.Context, string) error { return harness.ErrLinux }

func (*wire) print(io.Writer) {}
