package process

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
)

// counting counts its inits.
type counting struct{ inits int }

func (c *counting) Init(context.Context) error        { c.inits++; return nil }
func (c *counting) Handle(context.Context, any) error { return nil }
func (c *counting) Terminate(context.Context, error)  {}

// Nothing of ours lets protoactor restart an actor. If it does all the same, there is no second init.
func TestARestartOfTheActorEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system, server := NewSystem(Config{}), &counting{}
		pid, err := Spawn(t.Context(), system, server, Options{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		p := system.find(pid)
		self := p.actor.Load()
		process, _ := system.actors.ProcessRegistry.Get(self)
		process.SendSystemMessage(self, &actor.Restart{})
		synctest.Wait()
		if reason := p.exitReason(); !errors.Is(reason, errRestarted) || server.inits != 1 {
			t.Errorf("it ended with %v after %d inits, want errRestarted and 1", reason, server.inits)
		}
		if _, ok := system.actors.ProcessRegistry.Get(self); ok {
			t.Error("its actor is left behind")
		}
		if err := system.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
}
