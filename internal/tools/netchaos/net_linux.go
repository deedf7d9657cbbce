package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// machine is one machine of the network: a network namespace with one device, net0.
type machine struct {
	name    string
	address string   // IPv4
	netns   *os.File // keeps it alive
}

// network is some machines that reach each other, over a bridge or over a wire of ours.
type network struct {
	machines []*machine
	wire     *wire // nil: the bridge
}

// subnet is that of all machines, whose last number is one more than their index.
const subnet = "10.77.0."

// newNetwork makes a network of machines with these names. It must be where nobody else has a network: see harness.Again.
func newNetwork(ctx context.Context, names []string, quality *quality, seed uint64) (*network, error) {
	n := &network{}
	for i, name := range names {
		netns, err := newNamespace()
		if err != nil {
			return nil, fmt.Errorf("%w: a network namespace: %w", errMissing, err)
		}
		n.machines = append(n.machines, &machine{name: name, address: fmt.Sprint(subnet, i+1), netns: netns})
	}
	var err error
	if quality != nil {
		n.wire, err = newWire(ctx, n.machines, *quality, seed)
	} else {
		err = n.bridge(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range n.machines {
		if err := m.ip(ctx, "address add "+m.address+"/24 dev net0", "link set lo up", "link set net0 up"); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// close ends what of the network does not go with us.
func (n *network) close() {
	if n.wire != nil {
		n.wire.close()
	}
	for _, m := range n.machines {
		_ = m.netns.Close()
	}
}

// bridge connects the machines by a bridge in our own namespace.
func (n *network) bridge(ctx context.Context) error {
	commands := []string{"link add bridge0 type bridge", "link set bridge0 up"}
	for i, m := range n.machines {
		port := fmt.Sprint("port", i)
		commands = append(commands, "link add "+port+" type veth peer name net0 netns "+m.path(),
			"link set "+port+" master bridge0", "link set "+port+" up")
	}
	return ip(ctx, nil, commands...)
}

// newNamespace makes a network namespace on a thread that ends with it.
func newNamespace() (*os.File, error) {
	var netns *os.File
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			netns, err = os.Open("/proc/thread-self/ns/net")
		}
	}()
	<-done
	return netns, err
}

// path is by which other programs find the namespace.
func (m *machine) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.netns.Fd()) }

// enter moves the thread to the machine.
func (m *machine) enter() error { return unix.Setns(int(m.netns.Fd()), unix.CLONE_NEWNET) }

// ip configures the machine.
func (m *machine) ip(ctx context.Context, commands ...string) error {
	return ip(ctx, m.enter, commands...)
}

func ip(ctx context.Context, enter func() error, commands ...string) error {
	return execute(ctx, enter, strings.Join(commands, "\n")+"\n", "ip", "-batch", "-")
}

// execute runs a program with this input, on the thread that enter has moved.
func execute(ctx context.Context, enter func() error, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	p, err := harness.Launch(cmd, enter)
	if err != nil {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	<-p.Gone()
	if !p.Succeeded() {
		return fmt.Errorf("netchaos: %s with %q: %s", name, input, p.LastWords())
	}
	return nil
}

// hooks are the rules of nftables at both hooks of the device, by the way of the cut.
var hooks = map[string]struct{ in, out string }{
	cutBoth:  {"drop", "drop"},
	cutIn:    {"drop", "accept"},
	cutOut:   {"accept", "drop"},
	cutReset: {"meta l4proto tcp reject with tcp reset", "meta l4proto tcp reject with tcp reset"},
}

// cut cuts the machine off.
func (m *machine) cut(ctx context.Context, how string) error {
	if how == cutDown {
		return m.ip(ctx, "link set net0 down")
	}
	if how == cutReset { // before the rules, or they would stop the resets
		if err := execute(ctx, m.enter, "", "ss", "-H", "-K", "sport", "=", ":"+port, "or", "dport", "=", ":"+port); err != nil {
			return err
		}
	}
	h := hooks[how]
	return execute(ctx, m.enter, fmt.Sprintf(`table inet cut {
	chain in { type filter hook input priority 0; iifname "net0" %s; }
	chain out { type filter hook output priority 0; oifname "net0" %s; }
}
`, h.in, h.out), "nft", "-f", "-")
}

// heal ends a cut.
func (m *machine) heal(ctx context.Context, how string) error {
	if how == cutDown {
		return m.ip(ctx, "link set net0 up")
	}
	return execute(ctx, m.enter, "delete table inet cut\n", "nft", "-f", "-")
}
