package remote_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		beWorker(url)
		return
	}
	goleak.VerifyTestMain(server.Around(m))
}
