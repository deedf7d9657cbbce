package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// parseURL makes a pool's configuration of a URL. What it says of a bad one is ours and never quotes it: a password that is not
// escaped makes the parser take its parts for a port, a host or a path, and name them.
func parseURL(raw string) (*pgxpool.Config, error) {
	parsed, err := url.Parse(raw)
	if err != nil {
		return nil, badURL("it cannot be parsed; characters such as / : ? # %% in the password must be percent-encoded")
	}
	if !slices.Contains([]string{"postgres", "postgresql"}, parsed.Scheme) {
		return nil, badURL("its scheme must be postgres or postgresql")
	}
	_, authority, _ := strings.Cut(raw, "://")
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	if strings.Count(authority, "@") > 1 { // of which pgx takes the first for the end of the password, and others the last
		return nil, badURL("it has two @ before the path; one in the password must be percent-encoded")
	}
	if _, err := url.ParseQuery(parsed.RawQuery); err != nil {
		return nil, badURL("its query cannot be parsed")
	}
	cfg, err := pgxpool.ParseConfig(raw)
	if err != nil {
		return nil, badURL("%s", withoutQuotes(err))
	}
	return cfg, nil
}

func badURL(reason string, args ...any) error {
	return fmt.Errorf("store/postgres: the URL is wrong: "+reason, args...)
}

// withoutQuotes gives the reason of pgx's refusal without the URL, which stands in it between backquotes, and without what it
// wraps, which may quote a value.
func withoutQuotes(err error) string {
	text := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		text = strings.ReplaceAll(text, " ("+inner.Error()+")", "")
	}
	if _, reason, found := strings.Cut(text, "`: "); found {
		return reason
	}
	return "a setting in it is not valid"
}
