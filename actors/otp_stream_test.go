package actors_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/taskrunner-go/taskrunner/actors"
)

// stream runs a stream of tasks in the process of its owner, and gives what came out of it; of a stream that ended early,
// only why.
func (w *otpWorld) stream(owner, sup, link string, words []string) string {
	start := actors.AsyncStreamNoLink[string, string]
	if link == "linked" {
		start = actors.AsyncStream[string, string]
	}
	elements := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return strings.Contains(word, "=") })
	return w.do(owner, func(ctx context.Context) string {
		results, err := start(ctx, w.under(sup), slices.Values(elements), otpRunElement, otpStreamOptions(words))
		if err != nil {
			return otpTold("", true, err)
		}
		return otpStreamed(results)
	})
}

// otpRunElement is the task for an element RESULT@MS.
func otpRunElement(ctx context.Context, element string) (string, error) {
	result, ms, _ := strings.Cut(element, "@")
	switch {
	case ms != "0" && !otpSleep(ctx, otpMilliseconds(ms)):
		return "", context.Cause(ctx)
	case result == "boom":
		return "", errBoom
	}
	return result, nil
}

func otpStreamOptions(words []string) actors.StreamOptions {
	n := otpNewNode("stream", append([]string{""}, words...))
	return actors.StreamOptions{
		MaxConcurrency: n.number("max_concurrency"),
		Unordered:      n.options["ordered"] == "no",
		Timeout:        otpPatience(n.options["timeout"]),
		KillOnTimeout:  n.options["on_timeout"] == "kill_task",
		ZipInputOnExit: n.options["zip_input_on_exit"] == "yes",
	}
}

func otpStreamed(results iter.Seq2[string, error]) string {
	var words []string
	for value, err := range results {
		if ended, ok := errors.AsType[*actors.StreamError](err); ok {
			return otpTold("", true, ended.Err)
		}
		if zipped, ok := errors.AsType[*actors.InputError](err); ok {
			words = append(words, "exit "+zipped.Input.(string)+" "+otpShow(zipped.Err))
			continue
		}
		words = append(words, otpTold(value, true, err))
	}
	return strings.Join(words, " ")
}
