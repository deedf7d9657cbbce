package process_test

import (
	"context"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/process"
)

type ignored struct{}

func (ignored) Init(context.Context) error        { return process.ErrIgnore }
func (ignored) Handle(context.Context, any) error { return nil }
func (ignored) Terminate(context.Context, error)  {}

// TestIgnoreIsToldEveryTime: the starter hears ErrIgnore, though the process ends with messages.Normal and is often gone first
// (GS-04).
func TestIgnoreIsToldEveryTime(t *testing.T) {
	t.Parallel()
	system := process.NewSystem(process.Config{})
	defer func() { _ = system.Stop(context.Background()) }()
	for range 5000 {
		if _, err := process.Spawn(t.Context(), system, ignored{}, process.Options{}); err != process.ErrIgnore {
			t.Fatalf("got %v", err)
		}
	}
}
