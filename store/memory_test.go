package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}

func TestMemoryIsLinearizable(t *testing.T) {
	storetest.RunLinear(t, func(*testing.T, int) []store.Store { return []store.Store{store.NewMemory()} }, 1)
}
