package actors_test

import (
	"context"
	"fmt"
	"log"

	"github.com/taskrunner-go/taskrunner/actors"
)

// chatRoom is a server for each chat room, started under the room's own name.
type chatRoom struct{ lines []string }

func (r *chatRoom) HandleCast(_ context.Context, line any) error {
	r.lines = append(r.lines, line.(string))
	return nil
}

func (r *chatRoom) HandleCall(context.Context, any, actors.From) (any, error) { return r.lines, nil }

// Unique keys are names: a server is started under a key, and reached by it.
func ExampleRegistry_Via() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	rooms, err := actors.StartRegistry[string, struct{}](ctx, system, actors.RegistryConfig{Name: "rooms", Keys: actors.UniqueKeys})
	if err != nil {
		log.Fatal(err)
	}
	lobby := rooms.Via("lobby")
	if _, err := actors.StartGenServer(ctx, system, &chatRoom{}, actors.GenServerOptions{Via: lobby}); err != nil {
		log.Fatal(err)
	}
	server := actors.Server(system, lobby)
	server.Cast(ctx, "hello")
	server.Cast(ctx, "anybody here?")
	fmt.Println(actors.Call[[]string](ctx, server, "lines"))

	_, err = actors.StartGenServer(ctx, system, &chatRoom{}, actors.GenServerOptions{Via: lobby})
	fmt.Println("a second one is refused:", err != nil)
	// Output:
	// [hello anybody here?] <nil>
	// a second one is refused: true
}

// subscriber is a server that subscribes to a topic, and gets what is dispatched as plain messages.
type subscriber struct {
	topics *actors.Registry[string, string]
	name   string
	got    chan string
}

func (s *subscriber) Init(ctx context.Context) error { return s.topics.Register(ctx, "news", s.name) }

func (s *subscriber) HandleInfo(_ context.Context, message any) error {
	s.got <- s.name + " got " + message.(string)
	return nil
}

// Duplicate keys are topics: many processes register, and whoever has something to say dispatches to all of them.
func ExampleRegistry_Dispatch() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	topics, err := actors.StartRegistry[string, string](ctx, system, actors.RegistryConfig{Keys: actors.DuplicateKeys})
	if err != nil {
		log.Fatal(err)
	}
	got := make(chan string)
	for _, name := range []string{"ann", "bob"} {
		if _, err := actors.StartGenServer(ctx, system, &subscriber{topics, name, got}, actors.GenServerOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	topics.Dispatch("news", func(entries []actors.Entry[string]) {
		for _, e := range entries {
			system.Send(ctx, e.PID, "it rains")
			fmt.Println(<-got)
		}
	})
	// Output:
	// ann got it rains
	// bob got it rains
}
