package main

import "strings"

// reworded is an error in other words. What it is, it stays.
type reworded struct {
	text string
	err  error
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.err }

// inWords gives an error in the words of the command line where it speaks of a Config. More pairs of old and new texts
// come before those that all commands have in common.
func inWords(err error, more ...string) error {
	if err == nil {
		return nil
	}
	words := strings.NewReplacer(append(more,
		"Config.Allow[", "--allow [",
		"Config.TempDir", "--temp-dir",
		"larger than Config.MaxBytes", "larger than --max-bytes",
		"not in Config.AllowAddresses", "not in --allow-address",
	)...)
	if text := words.Replace(err.Error()); text != err.Error() {
		return &reworded{text, err}
	}
	return err
}

// serveWords is the runner's hook for the errors of moves: so their words are right wherever they are read, in the
// database, over GraphQL and in the log.
func serveWords(err error, _ int) error { return inWords(err) }

// moveWords knows that demo move has no flag for addresses.
func moveWords(err error, _ int) error {
	return inWords(err, "which is not in Config.AllowAddresses", "from which demo move does not read")
}
