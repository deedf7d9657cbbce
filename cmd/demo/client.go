package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
)

const (
	// moveMutation is what a front end sends.
	moveMutation = `mutation Move($input: [MoveAssetInput!]!) { moveAssets(input: $input) { id } }`
	// mutationTimeout is how long the answer may take. It waits for the tasks to be recorded, not to be done.
	mutationTimeout = 30 * time.Second
	maxAnswer       = 32 << 20
)

// moveAnswer is what comes back.
type moveAnswer struct {
	Data struct {
		MoveAssets []struct{ ID string }
	}
	Errors []struct {
		Message    string
		Extensions struct{ Code string }
	}
}

// sendMoves asks a GraphQL server for moves, over HTTP as everybody does, and gives the ids of the tasks in their order.
func sendMoves(ctx context.Context, url string, moves []assets.Move) ([]string, error) {
	body, err := json.Marshal(map[string]any{"query": moveMutation, "variables": map[string]any{"input": moves}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, mutationTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	// The tasks are recorded or not, and asking twice would record them twice: so nothing here tries again.
	// A transport of its own: no proxy from the environment, and no connection that outlives the call.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return readAnswer(response, len(moves))
}

// readAnswer takes nothing for granted: what answers on that port may be anything. A GraphQL error comes with status 200.
func readAnswer(response *http.Response, want int) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	var answer moveAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("the server answered %s and no JSON: %w", response.Status, err)
	}
	if len(answer.Errors) > 0 {
		return nil, fmt.Errorf("the server answered %s: %s", answer.Errors[0].Extensions.Code, answer.Errors[0].Message)
	}
	if got := len(answer.Data.MoveAssets); got != want {
		return nil, fmt.Errorf("the server recorded %d tasks of %d", got, want)
	}
	ids := make([]string, want)
	for i, task := range answer.Data.MoveAssets {
		ids[i] = task.ID
	}
	return ids, nil
}
