package assets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
)

// destination is a kind of place that files are moved to.
type destination string

const (
	toFolder destination = "a local folder"
	toS3     destination = "S3"
)

// contender is a program that moves files, used in one way.
type contender struct {
	name      string
	ours      bool
	to        destination
	transfers int      // files at once
	settings  []string // of rclone, besides those that everybody needs
}

// title names the contender in one line.
func (c contender) title() string {
	return fmt.Sprintf("%s to %s, %d transfers", c.name, c.to, c.transfers)
}

// contenders is everybody who is measured.
func contenders() (all []contender) {
	for _, to := range []destination{toFolder, toS3} {
		for _, transfers := range []int{16, 64} {
			all = append(all,
				contender{name: ourName, ours: true, to: to, transfers: transfers},
				contender{name: checkingName, to: to, transfers: transfers, settings: checking(to)},
				contender{name: trustingName, to: to, transfers: transfers, settings: slices.Concat(checking(to), trusting(to))})
		}
	}
	return all
}

const (
	ourName = "demo move"
	// checkingName is rclone with the checks that we make too, and trustingName is rclone without them.
	checkingName = "rclone copy"
	trustingName = "rclone copy, unchecked"
)

// checking is what makes rclone faster without taking a check from it.
func checking(to destination) []string {
	if to == toS3 {
		return []string{"--s3-no-check-bucket"} // the bucket is there
	}
	return nil
}

// trusting takes away each request and each sum for which rclone has a flag: asking for the size of a file before it is
// fetched, asking for what has arrived, and the MD5 that is kept with a large object.
func trusting(to destination) []string {
	if to == toS3 {
		return []string{"--s3-no-head", "--s3-disable-checksum", "--ignore-checksum"}
	}
	return []string{"--http-no-head", "--ignore-checksum"}
}

// target is one place to move to, empty.
type target struct {
	path     string              // how it is given to the client: a path, or the name of a bucket
	folder   string              // where the files lie in the end
	database string              // where ours keeps its tasks
	gateway  *servertest.Gateway // nil for a folder
}

// open makes a target. It stays until the end of the run: ext4 does not take the number of a file that has just been removed
// again, and looks at each one in vain, so that the files of one turn, if they were removed, would cost the next one more than
// all the rest that the disk has to do for it.
func (s *site) open(d destination) (target, error) {
	s.turns++
	name := fmt.Sprintf("turn-%d", s.turns)
	dir := filepath.Join(s.dir, name)
	to := target{path: filepath.Join(dir, "new"), folder: filepath.Join(dir, "new"), database: filepath.Join(dir, "move.db")}
	if err := os.Mkdir(dir, 0o700); err != nil || d == toFolder {
		return to, err
	}
	to.gateway, to.path, to.folder = s.gateway, name, s.gateway.Folder(name)
	return to, os.Mkdir(to.folder, 0o700) // which makes it a bucket
}

// command is how the client is called.
func (c contender) command(ctx context.Context, s *site, to target) *exec.Cmd {
	if c.ours {
		return s.demoMove(ctx, c, to)
	}
	return s.rcloneCopy(ctx, c, to)
}

// demoMove records every task and every outcome in a SQLite file, which syncs each commit.
func (s *site) demoMove(ctx context.Context, c contender, to target) *exec.Cmd {
	path, env := to.path, environment()
	if to.gateway != nil {
		path = fmt.Sprintf("s3://%s?endpoint=%s&region=%s&use_path_style=true", to.path, to.gateway.Endpoint, servertest.Region)
		env = append(env, "AWS_ACCESS_KEY_ID="+to.gateway.AccessKey, "AWS_SECRET_ACCESS_KEY="+to.gateway.SecretKey)
	}
	cmd := exec.CommandContext(ctx, s.demo, "move", s.origin+"/", path,
		"--transfers", strconv.Itoa(c.transfers), "--store", "sqlite://"+to.database)
	cmd.Env = env
	return cmd
}

// rcloneCopy must have a slash behind the origin: without it rclone copies one file, which is the index page, and is content.
func (s *site) rcloneCopy(ctx context.Context, c contender, to target) *exec.Cmd {
	path, env := to.path, append(environment(), "RCLONE_CONFIG=/dev/null")
	if to.gateway != nil {
		path = ":s3:" + to.path
		env = append(env, "RCLONE_S3_PROVIDER=Other", "RCLONE_S3_ENDPOINT="+to.gateway.Endpoint, "RCLONE_S3_REGION="+servertest.Region,
			"RCLONE_S3_ACCESS_KEY_ID="+to.gateway.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+to.gateway.SecretKey)
	}
	args := []string{"copy", "--http-url", s.origin + "/", ":http:", path, "--transfers", strconv.Itoa(c.transfers)}
	cmd := exec.CommandContext(ctx, s.rclone, slices.Concat(args, c.settings)...)
	cmd.Env = env
	return cmd
}

// environment is ours without what would change how the clients use memory and processors, or which settings they take.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool {
		for _, prefix := range []string{"GO", "AWS_", "RCLONE_", "TASKRUNNER_"} {
			if strings.HasPrefix(line, prefix) {
				return true
			}
		}
		return false
	})
}
