package messages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// How far it is looked for errors that have a code of their own, so that a chain which bites its own tail ends, and
// does not hide what stands beside it.
const (
	maxUnwraps = 1024 // in one message
	maxChain   = 64   // one inside the other
)

// reasonToWire gives nil for nil. It takes every error, also one whose methods panic: whatever ended a task must be
// told. What exceeds the limits is left out or cut.
func reasonToWire(reason error) *WireReason {
	if reason == nil {
		return nil
	}
	w := reasonWriter{nodes: MaxReasonNodes, unwraps: maxUnwraps}
	return w.write(reason)
}

// reasonWriter counts down what may still be written and looked at.
type reasonWriter struct {
	nodes   int
	unwraps int
}

// write gives the wire form of one error; the caller has seen that there is room for it.
func (w *reasonWriter) write(err error) *WireReason {
	w.nodes--
	r := &WireReason{Code: codeOf(err), Text: cut(textOf(err))}
	if w.nodes == 0 && r.GetCode() != WireReason_CODE_OTHER && errors.Unwrap(err) != nil {
		r.Code = WireReason_CODE_OTHER // no room for its cause, from which its text would be made
	}
	switch r.GetCode() {
	case WireReason_CODE_OTHER:
		w.causes(r, unwrap(err), maxChain)
	case WireReason_CODE_SHUTDOWN_WITH:
		r.Text = cut(fmt.Sprint(err.(*ShutdownWith).Value)) //nolint:errorlint // codeOf has seen that err itself is one
	case WireReason_CODE_PANIC:
		p := err.(*PanicError) //nolint:errorlint // as above
		r.Text, r.Stack = cut(fmt.Sprint(p.Value)), []byte(cut(string(p.Stack)))
		w.cause(r, p.Unwrap())
	case WireReason_CODE_DECISION:
		d := err.(*Decision) //nolint:errorlint // as above
		r.Verb, r.After = verbToWire(d.Verb), durationToWire(max(d.After, 0))
		w.cause(r, d.Err)
	}
	return r
}

// cause adds the error below a panic or a decision, whatever it is. There is room for it.
func (w *reasonWriter) cause(r *WireReason, err error) {
	if err != nil {
		r.Causes = append(r.Causes, w.write(err))
	}
}

// causes adds, of each error and what it wraps, the nearest that has a code of its own. The texts of those between are
// in the text of r already.
func (w *reasonWriter) causes(r *WireReason, errs []error, chain int) {
	for _, err := range errs {
		if err == nil || w.nodes == 0 || w.unwraps == 0 || chain == 0 {
			continue
		}
		w.unwraps--
		if codeOf(err) == WireReason_CODE_OTHER {
			w.causes(r, unwrap(err), chain-1)
		} else {
			r.Causes = append(r.Causes, w.write(err))
		}
	}
}

// codeOf says which kind of error err itself is, whatever it wraps. A nil pointer of one of our types, and a decision
// with a verb that does not exist, are errors like any other.
func codeOf(err error) WireReason_Code {
	switch e := err.(type) { //nolint:errorlint // what err wraps is looked at one by one
	case ExitReason:
		if cut(string(e)) == string(e) { // its text is its identity
			return WireReason_CODE_EXIT
		}
	case *ShutdownWith:
		if e != nil {
			return WireReason_CODE_SHUTDOWN_WITH
		}
	case *PanicError:
		if e != nil {
			return WireReason_CODE_PANIC
		}
	case *Decision:
		if e != nil && verbToWire(e.Verb) != WireReason_VERB_UNSPECIFIED {
			return WireReason_CODE_DECISION
		}
	}
	switch err {
	case ErrGoexit: //nolint:errorlint // as above
		return WireReason_CODE_GOEXIT
	case context.Canceled:
		return WireReason_CODE_CANCELED
	case context.DeadlineExceeded:
		return WireReason_CODE_DEADLINE_EXCEEDED
	}
	return WireReason_CODE_OTHER
}

// textOf gives the text of an error, also if its method panics.
func textOf(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose Error method panics: %v", err, v)
		}
	}()
	return err.Error()
}

// unwrap gives what an error wraps, and nothing if its method panics.
func unwrap(err error) (errs []error) {
	defer func() {
		if recover() != nil {
			errs = nil
		}
	}()
	switch e := err.(type) { //nolint:errorlint // this is what errors.Is does
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	default:
		return nil
	}
}

// cut makes text valid UTF-8 of at most MaxReasonText bytes. What it takes away it takes from the end.
func cut(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= MaxReasonText {
		return text
	}
	note := fmt.Sprintf("… (cut: %d bytes in all)", len(text))
	end := MaxReasonText - len(note)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + note
}

// wireError is an error that came from another process: its text, and those of its causes that can be told apart.
type wireError struct {
	text   string
	causes []error
}

// Error gives the text which the error had where it came from.
func (e *wireError) Error() string { return e.text }

// Unwrap makes errors.Is and errors.As find the causes.
func (e *wireError) Unwrap() []error { return e.causes }

// wireReason gives nil for an absent one.
func (c *checker) wireReason(w *WireReason) error {
	if w == nil {
		return nil
	}
	c.size("Reason.text", len(w.GetText()), MaxReasonText, "MaxReasonText")
	c.size("Reason.stack", len(w.GetStack()), MaxReasonText, "MaxReasonText")
	return c.coded(w, c.causes(w))
}

func (c *checker) causes(w *WireReason) []error {
	var errs []error
	for _, cause := range w.GetCauses() {
		errs = append(errs, c.wireReason(cause))
	}
	return errs
}

// coded makes the error that the code stands for. A code from a newer program is an error like any other.
func (c *checker) coded(w *WireReason, causes []error) error {
	switch w.GetCode() {
	case WireReason_CODE_UNSPECIFIED:
		c.invalid("Reason.code", w.GetCode(), "a code")
		return nil
	case WireReason_CODE_EXIT:
		return ExitReason(w.GetText())
	case WireReason_CODE_SHUTDOWN_WITH:
		return &ShutdownWith{Value: w.GetText()}
	case WireReason_CODE_PANIC:
		return &PanicError{Value: c.panicValue(w, causes), Stack: w.GetStack()}
	case WireReason_CODE_GOEXIT:
		return ErrGoexit
	case WireReason_CODE_CANCELED:
		return context.Canceled
	case WireReason_CODE_DEADLINE_EXCEEDED:
		return context.DeadlineExceeded
	case WireReason_CODE_DECISION:
		return c.decision(w, causes)
	default:
		return &wireError{text: w.GetText(), causes: causes}
	}
}

// panicValue is an error if the code panicked with one, so that errors.Is finds it; else its text.
func (c *checker) panicValue(w *WireReason, causes []error) any {
	if cause := c.single(causes); cause != nil {
		return cause
	}
	return w.GetText()
}

func (c *checker) decision(w *WireReason, causes []error) error {
	verb := verbFromWire(w.GetVerb())
	if verb == "" && w.GetVerb() != WireReason_VERB_UNSPECIFIED { // of a newer program: that it ended so is worth more than what was decided
		return &wireError{text: w.GetText(), causes: causes}
	}
	after := c.wireDuration("Reason.after", w.GetAfter())
	if verb == "" || after < 0 {
		c.invalid("Reason", fmt.Sprintf("the decision %s after %s", w.GetVerb(), after), "a verb, and 0 or more")
	}
	return &Decision{Verb: verb, After: after, Err: c.single(causes)}
}

// single gives the one cause that a panic or a decision may have, or nil.
func (c *checker) single(causes []error) error {
	switch len(causes) {
	case 0:
		return nil
	case 1:
		return causes[0]
	default:
		c.invalid("Reason", fmt.Sprintf("%d causes of one panic or decision", len(causes)), "at most 1")
		return nil
	}
}

func verbToWire(verb Verb) WireReason_Verb {
	switch verb {
	case VerbRetry:
		return WireReason_VERB_RETRY
	case VerbSnooze:
		return WireReason_VERB_SNOOZE
	case VerbCancel:
		return WireReason_VERB_CANCEL
	case VerbDiscard:
		return WireReason_VERB_DISCARD
	default:
		return WireReason_VERB_UNSPECIFIED
	}
}

// verbFromWire gives "" for what is no verb.
func verbFromWire(verb WireReason_Verb) Verb {
	for _, v := range [...]Verb{VerbRetry, VerbSnooze, VerbCancel, VerbDiscard} {
		if verbToWire(v) == verb {
			return v
		}
	}
	return ""
}
