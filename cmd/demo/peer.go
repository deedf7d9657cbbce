package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v3"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// hangUpWithin is how long the end of the connections may take.
const hangUpWithin = 2 * time.Second

// peerConfig says where the workers are, and who is asking.
type peerConfig struct {
	flag   string // that names the target
	target string // HOST:PORT, several with commas, or dns:///NAME:PORT; empty: none
	runner string
	tls    remote.TLS
	token  string
	away   time.Duration
	again  string // the flags with which the same worker is reached once more; never a token
}

// peerFlagNames are those that mean something only when there is a worker.
var peerFlagNames = []string{"runner", "tls", "token", "token-file", "away"}

// peerFlags are for the commands that have workers do something.
func peerFlags(prefix string, away time.Duration) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "runner", Usage: "the `NAME` of the runner there", Value: workerRunner, Sources: env(prefix, "runner")},
		tlsFlag(prefix, "the `FOLDER` with client.pem, client-key.pem and ca.pem; without it a worker on this machine only can be reached"),
		&cli.StringFlag{Name: "token", Usage: "the token that a worker with --clients wants; better given in the environment", Sources: env(prefix, "token")},
		&cli.StringFlag{Name: "token-file", Usage: "the `FILE` with the token", Sources: env(prefix, "token-file"), TakesFile: true},
		&cli.DurationFlag{Name: "away", Usage: "how long no worker may be reachable before that is an error", Value: away, Sources: env(prefix, "away")},
	}
}

// peerOf is what the flags say. What is wrong with the target is found out by dial.
func peerOf(c *cli.Command, flag string) (p peerConfig, err error) {
	p = peerConfig{flag: "--" + flag, target: c.String(flag), runner: c.String("runner"), token: c.String("token"), away: c.Duration("away")}
	if p.away <= 0 {
		return p, fmt.Errorf("--away is %s, want more than 0s", p.away)
	}
	if file := c.String("token-file"); file != "" {
		if p.token != "" {
			return p, errors.New("--token and --token-file are both there, want one of them")
		}
		if p.token, err = tokenIn(file); err != nil {
			return p, err
		}
	}
	for _, name := range []string{flag, "tls", "runner", "token-file"} {
		if value := c.String(name); value != "" && (name != "runner" || value != workerRunner) {
			p.again += " --" + name + " " + quoted(value)
		}
	}
	p.tls, err = clientTLS(c.String("tls"))
	return p, err
}

// quoted is a text as a shell takes it for one word.
func quoted(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/.,:_-@%+=", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// tokenIn reads a token; editors and echo end its line.
func tokenIn(file string) (string, error) {
	content, err := os.ReadFile(file) //nolint:gosec // G304: whoever starts the program chooses the file
	if err != nil {
		return "", fmt.Errorf("--token-file %s cannot be read: %w", file, errors.Unwrap(err))
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("--token-file %s is empty, want a token", file)
	}
	return token, nil
}

// dial gives a client that has reached a worker. The screen tells when none is reached, then and later, until whoever gets it hangs up.
func (p peerConfig) dial(ctx context.Context, logger *slog.Logger, screen *screen) (client *remote.Client, hangUp func(), err error) {
	client, err = remote.Dial(ctx, p.target, remote.DialConfig{TLS: p.tls, Token: p.token, Away: p.away, Logger: logger})
	if err != nil {
		return nil, nil, &failure{exitUsage, p.inWords(err)}
	}
	stopWatching := watchAbsence(client, p.away, screen)
	hangUp = func() {
		stopWatching()
		closeWithin(ctx, client)
	}
	patient, cancel := context.WithTimeoutCause(ctx, p.away, fmt.Errorf("%s %s was not reached within %s", p.flag, p.target, p.away))
	defer cancel()
	if err := client.Ready(patient); err != nil {
		hangUp()
		return nil, nil, notReached(ctx, err)
	}
	return client, hangUp, nil
}

// notReached gives the reason why no worker was reached its code, also when it was --timeout that ended the waiting.
func notReached(ctx context.Context, err error) error {
	code := exitNoConnection
	switch {
	case asked(ctx):
		return context.Cause(ctx)
	case errors.Is(err, remote.ErrUnauthenticated):
		code = exitRefused
	}
	return &failure{code, &reworded{harmless(err.Error()), err}}
}

func (p peerConfig) inWords(err error) error {
	text := remoteWords(err).Error()
	return &reworded{strings.Replace(text, "remote: target ", p.flag+" ", 1), err}
}

// closeWithin closes the connections. Whatever they were for is over.
func closeWithin(ctx context.Context, client *remote.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUpWithin)
	defer cancel()
	_ = client.Close(ctx)
}

// peerCodes is what the program ends with when a worker has an error for it. The first that fits counts.
var peerCodes = []struct {
	is   error
	code int
}{
	{remote.ErrLost, exitFailed},
	{remote.ErrUnauthenticated, exitRefused},
	{remote.ErrNoConnection, exitNoConnection},
	{remote.ErrTooLate, exitLate},
	{remote.ErrNotAllowed, exitRefused},
	{remote.ErrUnknownRunner, exitRefused},
	{remote.ErrUnknownRequest, exitRefused},
	{remote.ErrInvalid, exitRefused},
	{actors.ErrUnknownKind, exitRefused},
	{actors.ErrNoStore, exitRefused},
	{actors.ErrStopping, exitRefused},
	{actors.ErrFull, exitRefused},
	{store.ErrNotFound, exitRefused},
	{store.ErrUnavailable, exitNoConnection}, // the worker may have it, or not
}

// peerError gives an error that came from a worker, or from the way there, its code. A signal and what has a code keep theirs.
func peerError(err error) error {
	if err == nil {
		return nil
	}
	if signalled, ok := errors.AsType[*signalError](err); ok {
		return signalled
	}
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed
	}
	err = &reworded{harmless(err.Error()), err}
	if _, ended := errors.AsType[*actors.TaskError](err); ended {
		return &failure{exitFailed, err}
	}
	for _, row := range peerCodes {
		if errors.Is(err, row.is) {
			return &failure{row.code, err}
		}
	}
	return &failure{exitOther, err}
}

// harmless makes a text of somebody else's fit for a terminal: control characters could write anything there.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// mayBeThere reports whether a task may have been accepted although its sender was not told so.
func mayBeThere(err error) bool { return errors.Is(err, store.ErrUnavailable) }
