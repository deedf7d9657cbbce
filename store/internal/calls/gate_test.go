package calls_test

import (
	"testing"

	"github.com/taskrunner-go/taskrunner/store/internal/calls"
)

func TestGate(t *testing.T) {
	g := calls.NewGate()
	for range 2 {
		if !g.Enter() {
			t.Fatal("an open gate lets nobody in")
		}
	}
	g.Leave()
	idle := g.Close()
	if g.Enter() {
		t.Error("a closed gate lets somebody in")
	}
	select {
	case <-idle:
		t.Error("idle while a call is under way")
	default:
	}
	g.Leave()
	<-idle
	<-calls.NewGate().Close() // nobody was there
}
