package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
)

// TestMoveBetweenRealServers moves real assets with 64 transfers from nginx to an S3 server and to a folder, and once more
// with one request of twenty failing: every byte is right, and every outcome in the database.
func TestMoveBetweenRealServers(t *testing.T) {
	endpoint, access, secret := servertest.VersityGW(t, "new", "flaky")
	t.Setenv("AWS_ACCESS_KEY_ID", access) // the program's, and that of the bucket below
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	files := someSVGs(t, 25)
	from := folder(t, files)
	for _, source := range []struct {
		name, bucket, base string
	}{
		{"sound", "new", servertest.Nginx(t, from)},
		{"failing", "flaky", servertest.Nginx(t, from, servertest.FailPercent(5))},
	} {
		t.Run(source.name+" to S3", func(t *testing.T) {
			parameters := "?endpoint=" + endpoint + "&region=" + servertest.Region + "&use_path_style=true"
			moveReal(t, source.base, "s3://"+source.bucket+"/icons"+parameters, files)
			bucket, err := buckets(1).OpenBucket(t.Context(), "s3://"+source.bucket+parameters)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = bucket.Close() }()
			checkBucket(t, bucket, "icons/", files)
		})
		t.Run(source.name+" to a folder", func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "new")
			moveReal(t, source.base, "file://"+to, files)
			checkFiles(t, to, files)
		})
	}
}

// someSVGs gives every so-many-th of the real assets.
func someSVGs(t *testing.T, every int) map[string]string {
	t.Helper()
	dir, files := servertest.MDISVG(t), map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(entries); i += every {
		body, err := os.ReadFile(filepath.Join(dir, entries[i].Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entries[i].Name()] = string(body)
	}
	return files
}

// moveReal moves everything and looks into the database.
func moveReal(t *testing.T, from, to string, files map[string]string) {
	t.Helper()
	db := filepath.Join(t.TempDir(), "move.db")
	stdout, stderr, code := runToEnd(t, "move", from, to, "--transfers", "64", "--store", db)
	if want := fmt.Sprintf("%d arrived (%d copied, 0 unchanged), ", len(files), len(files)); code != exitOK || !strings.HasPrefix(lastLine(stdout), want) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	tasks := inDatabase(t, db)
	if len(tasks) != len(files) {
		t.Errorf("%d tasks in the database, want %d", len(tasks), len(files))
	}
	for _, task := range tasks {
		var moved assets.Moved
		if err := json.Unmarshal(task.Result, &moved); err != nil || task.State != store.Completed {
			t.Errorf("%s: %s, %v", task.Args, task.State, err)
			continue
		}
		body := files[moved.Source[strings.LastIndexByte(moved.Source, '/')+1:]]
		sum := sha256.Sum256([]byte(body))
		if moved.Bytes != int64(len(body)) || moved.SHA256 != hex.EncodeToString(sum[:]) || moved.ContentType != "image/svg+xml" {
			t.Errorf("the outcome %s is not that of its asset", task.Result)
		}
	}
}

func checkBucket(t *testing.T, bucket *blob.Bucket, prefix string, files map[string]string) {
	t.Helper()
	for name, want := range files {
		got, err := bucket.ReadAll(t.Context(), prefix+name)
		if err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s: %d bytes, want %d (%v)", name, len(got), len(want), err)
		}
	}
}
