package remote_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// A program with a task runner opens a port, and another one has it run a task. Here both are the same.
func Example() {
	ctx := context.Background()
	shout := actors.Kind("shout", func(_ context.Context, text string) (string, error) { return strings.ToUpper(text) + "!", nil })
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "demo", Kinds: actors.Kinds{shout}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = runner.Stop(ctx) }()
	listener, err := remote.Listen(ctx, "127.0.0.1:0", remote.ListenConfig{Runners: []*actors.TaskRunner{runner}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = listener.Stop(ctx) }()

	client, err := remote.Dial(ctx, listener.Addr().String(), remote.DialConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close(ctx) }()
	task, err := remote.Run[string](ctx, client.Runner("demo"), "shout", "moved")
	if err != nil {
		log.Fatal(err) // nobody has accepted it, or nobody knows: then it is store.ErrUnavailable
	}
	fmt.Println(task.Await(ctx))
	// Output: MOVED! <nil>
}

// open has a runner "demo" with a database in memory reached on this machine; it knows how to shout.
func open(ctx context.Context, config remote.ListenConfig) (listener *remote.Listener, stop func()) {
	shout := actors.Kind("shout", func(_ context.Context, text string) (string, error) {
		if text == "" {
			return "", messages.Discard(errors.New("nothing to shout"))
		}
		return strings.ToUpper(text) + "!", nil
	})
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "demo", Kinds: actors.Kinds{shout}, Store: store.NewMemory(), MaxChildren: 1})
	if err != nil {
		log.Fatal(err)
	}
	config.Runners = []*actors.TaskRunner{runner}
	listener, err = remote.Listen(ctx, "127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	return listener, func() {
		_ = listener.Stop(ctx)
		_ = runner.Stop(ctx)
	}
}

func dial(ctx context.Context, target string, config remote.DialConfig) *remote.Client {
	client, err := remote.Dial(ctx, target, config)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// Many tasks travel together, and each is accepted or refused by itself.
func ExampleRunMany() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	defer stop()
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()

	tasks, err := remote.RunMany[string](ctx, client.Runner("demo"), "shout", []string{"one", "", "three"})
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		text, err := task.Await(ctx)
		if failed, ok := errors.AsType[*actors.TaskError](err); ok {
			fmt.Println(failed.State, failed.Err)
			continue
		}
		fmt.Println(text, err)
	}
	// Output:
	// ONE! <nil>
	// discarded nothing to shout
	// THREE! <nil>
}

// What has ended is followed from behind a cursor. Who keeps the cursor of the last outcome that it has dealt with misses none, whichever side
// is restarted.
func ExampleRunner_Outcomes() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	defer stop()
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()
	runner := client.Runner("demo")
	if _, err := remote.RunMany[string](ctx, runner, "shout", []string{"one", "two", "three"}); err != nil {
		log.Fatal(err)
	}

	cursor := store.FromOldest
	for task, err := range runner.Outcomes(ctx, cursor) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", task.State, task.Result)
		if cursor = task.Pos; string(task.Result) == `"TWO!"` {
			break // the program ends here; it has kept the cursor
		}
	}
	for task, err := range runner.Outcomes(ctx, cursor) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("later: %s %s\n", task.State, task.Result)
		break
	}
	// Output:
	// completed "ONE!"
	// completed "TWO!"
	// later: completed "THREE!"
}

// For a subscriber with a name the cursor is kept over there, and what it has not acknowledged is kept for it.
func ExampleRunner_Subscribe() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	defer stop()
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()
	runner := client.Runner("demo")
	if _, err := remote.RunMany[string](ctx, runner, "shout", []string{"one", "two"}); err != nil {
		log.Fatal(err)
	}

	for _, acknowledges := range []bool{false, true, true} {
		mailer := runner.Subscribe("mailer", store.FromOldest) // as after a restart
		for task, err := range mailer.Outcomes(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s %t\n", task.Result, acknowledges)
			if acknowledges {
				if err := mailer.Acknowledge(ctx, task.Pos); err != nil {
					log.Fatal(err)
				}
			}
			break
		}
	}
	// Output:
	// "ONE!" false
	// "ONE!" true
	// "TWO!" true
}

// Those who only want to know that something has ended monitor it: a task, a runner, or a program.
func ExampleRunner_MonitorTask() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	defer stop()
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()
	task, err := remote.Run[string](ctx, client.Runner("demo"), "shout", "")
	if err != nil {
		log.Fatal(err)
	}

	downs := make(chan messages.Down, 1)
	client.Runner("demo").MonitorTask(task.ID(), func(down messages.Down) { downs <- down })
	fmt.Println((<-downs).Reason)
	// Output: nothing to shout
}

// A runner that cannot be reached any more, or is not there, is told of too.
func ExampleRunner_Monitor() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	defer stop()
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()

	downs := make(chan messages.Down, 1)
	client.Runner("nobody").Monitor(func(down messages.Down) { downs <- down })
	fmt.Println((<-downs).Reason == messages.NoProc)
	// Output: true
}

// The end of a program is that of the connection to it.
func ExampleClient_MonitorNode() {
	ctx := context.Background()
	listener, stop := open(ctx, remote.ListenConfig{})
	client := dial(ctx, listener.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()
	if err := client.Ready(ctx); err != nil {
		log.Fatal(err)
	}

	downs := make(chan messages.Down, 1)
	client.MonitorNode(client.Nodes()[0].Name, func(down messages.Down) { downs <- down })
	stop()
	fmt.Println((<-downs).Reason == messages.NoConnection)
	// Output: true
}

// Of several listeners the one with the most room gets a task, and one that is not there gets none.
func ExampleDial_severalAddresses() {
	ctx := context.Background()
	first, stopFirst := open(ctx, remote.ListenConfig{})
	second, stopSecond := open(ctx, remote.ListenConfig{})
	defer stopSecond()
	stopFirst()
	client := dial(ctx, first.Addr().String()+","+second.Addr().String(), remote.DialConfig{})
	defer func() { _ = client.Close(ctx) }()

	task, err := remote.Run[string](ctx, client.Runner("demo"), "shout", "one")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Await(ctx))
	// Output: ONE! <nil>
}

// On a network both sides show certificates, and a client also a token, which says what it may do.
func ExampleListenConfig_clients() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "certificates")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := remote.WriteCertificates(dir, "127.0.0.1"); err != nil { // a set for trying out
		log.Fatal(err)
	}
	files := func(name string) remote.TLS {
		return remote.TLS{Certificate: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem"), CA: filepath.Join(dir, "ca.pem")}
	}
	sum := sha256.Sum256([]byte("web's token"))
	listener, stop := open(ctx, remote.ListenConfig{
		TLS: files("server"),
		Clients: []remote.AllowedClient{{
			Name: "web", TokenSHA256: []string{hex.EncodeToString(sum[:])}, Runners: []string{"demo"}, Kinds: []string{"shout"}, Run: true,
		}},
	})
	defer stop()

	client := dial(ctx, listener.Addr().String(), remote.DialConfig{TLS: files("client"), Token: "web's token"})
	defer func() { _ = client.Close(ctx) }()
	task, err := remote.Run[string](ctx, client.Runner("demo"), "shout", "moved")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Await(ctx))
	_, err = remote.Run[string](ctx, client.Runner("demo"), "whisper", "moved")
	fmt.Println(errors.Is(err, remote.ErrNotAllowed), err)
	fmt.Println(errors.Is(task.Cancel(ctx), remote.ErrNotAllowed))
	// Output:
	// MOVED! <nil>
	// true remote: not allowed: client "web" may not run tasks of kind "whisper" at runner "demo"
	// true
}
