package actors_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// startTree starts a supervisor of any kind.
func (w *otpWorld) startTree(ctx context.Context, n *otpNode) (messages.PID, error) {
	w.event("start", n.name)
	pid, err := w.startKind(ctx, n)
	switch {
	case err == nil:
		w.up(n.name, pid)
	case errors.Is(err, supervisor.ErrIgnore):
		w.event("start_ignored", n.name)
	default:
		w.event("start_failed", n.name)
	}
	return pid, err
}

func (w *otpWorld) startKind(ctx context.Context, n *otpNode) (messages.PID, error) {
	restarts, seconds := n.limit("max_restarts"), time.Duration(n.number("max_seconds"))*time.Second
	switch n.kind {
	case "dynamic":
		return otpPIDOf(supervisor.StartDynamic(ctx, w.system, supervisor.DynamicConfig{
			MaxRestarts: restarts, MaxSeconds: seconds, MaxChildren: n.limit("max_children"),
		}))
	case "tasks":
		return w.startTasks(ctx, n)
	case "partition":
		return otpPIDOf(supervisor.StartPartition(ctx, w.system, supervisor.PartitionConfig{
			Name: messages.Name(n.name), MaxRestarts: restarts, MaxSeconds: seconds, Partitions: n.number("partitions"),
			Child: func(i int) supervisor.ChildSpec { return w.spec(n.children[0].copy(i)) },
		}))
	}
	config := supervisor.Config{
		Strategy: otpStrategies()[n.strategy], AutoShutdown: otpAutoShutdowns()[n.options["auto_shutdown"]],
		MaxRestarts: restarts, MaxSeconds: seconds,
	}
	if n.options["ignore"] == "yes" {
		config.Init = func(context.Context) ([]supervisor.ChildSpec, error) { return nil, supervisor.ErrIgnore }
		return otpPIDOf(supervisor.Start(ctx, w.system, config))
	}
	for _, child := range n.children {
		config.Children = append(config.Children, w.spec(child))
	}
	return otpPIDOf(supervisor.Start(ctx, w.system, config))
}

// otpPIDOf is what a Start gives of a supervisor.
func otpPIDOf[S interface{ PID() messages.PID }](s S, err error) (messages.PID, error) {
	if err != nil {
		return messages.PID{}, err
	}
	return s.PID(), nil
}

func otpStrategies() map[string]supervisor.Strategy {
	return map[string]supervisor.Strategy{
		"one_for_one": supervisor.OneForOne, "one_for_all": supervisor.OneForAll, "rest_for_one": supervisor.RestForOne,
	}
}

func otpAutoShutdowns() map[string]supervisor.AutoShutdown {
	return map[string]supervisor.AutoShutdown{
		"": supervisor.Never, "any_significant": supervisor.AnySignificant, "all_significant": supervisor.AllSignificant,
	}
}

func otpRestarts() map[string]supervisor.Restart {
	return map[string]supervisor.Restart{
		"": supervisor.Permanent, "permanent": supervisor.Permanent, "transient": supervisor.Transient,
		"temporary": supervisor.Temporary,
	}
}

// spec makes the child spec of a node.
func (w *otpWorld) spec(n *otpNode) supervisor.ChildSpec {
	spec := supervisor.ChildSpec{
		ID: n.name, Restart: otpRestarts()[n.options["restart"]], Shutdown: otpPatience(n.options["shutdown"]),
		Significant: n.options["significant"] == "yes",
	}
	if n.kind == "child" {
		spec.Start = func(ctx context.Context) (messages.PID, error) { return w.startServer(ctx, n) }
		return spec
	}
	spec.Type = supervisor.TypeSupervisor
	spec.Start = func(ctx context.Context) (messages.PID, error) { return w.startTree(ctx, n) }
	return spec
}

// otpPatience gives a time to wait, or what stands for one.
func otpPatience(text string) time.Duration {
	switch text {
	case "":
		return 0
	case "infinity":
		return supervisor.Infinity
	case "brutal_kill":
		return supervisor.BrutalKill
	}
	return otpMilliseconds(text)
}

// limit is a number of which 0 is supervisor.NoRestarts or supervisor.NoChildren here, because the zero value is the default.
func (n *otpNode) limit(option string) int {
	if n.options[option] == "0" {
		return supervisor.NoRestarts
	}
	return n.number(option)
}

// number is 0 for an option that is not there.
func (n *otpNode) number(option string) int {
	i, _ := strconv.Atoi(n.options[option])
	return i
}

// has reports whether the option lists the number.
func (n *otpNode) has(option string, number int) bool {
	return slices.Contains(strings.Split(n.options[option], ","), strconv.Itoa(number))
}

// copy is the node of a partition.
func (n *otpNode) copy(i int) *otpNode {
	c := *n
	c.name += strconv.Itoa(i)
	return &c
}
