package store

import (
	"fmt"
	"math"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate reports why the task cannot be recorded; the error wraps ErrInvalid. Every store calls it before it records
// anything.
func (n NewTask) Validate() error {
	if err := ValidID("ID", n.ID); err != nil {
		return err
	}
	if err := ValidName("Runner", n.Runner); err != nil {
		return err
	}
	if err := ValidName("Kind", n.Kind); err != nil {
		return err
	}
	if err := optional("Key", n.Key); err != nil {
		return err
	}
	if err := optional("Node", n.Node); err != nil {
		return err
	}
	if err := sized("Args", n.Args, MaxArgs); err != nil {
		return err
	}
	if n.Priority < 0 || n.Priority > MaxPriority {
		return invalid("Priority", n.Priority, "must be from 0 to %d", MaxPriority)
	}
	if n.MaxAttempts < 1 || n.MaxAttempts > math.MaxInt32 {
		return invalid("MaxAttempts", n.MaxAttempts, "must be from 1 to 2147483647")
	}
	if n.Timeout < 0 {
		return invalid("Timeout", n.Timeout, "must not be negative")
	}
	return optionalTime("ScheduledAt", n.ScheduledAt)
}

// Validate reports why the claim cannot be made; the error wraps ErrInvalid. A claim of no kinds, or of no tasks, is
// valid and gives none.
func (c Claim) Validate() error {
	if err := ValidName("Runner", c.Runner); err != nil {
		return err
	}
	if err := ValidName("Node", c.Node); err != nil {
		return err
	}
	for i, kind := range c.Kinds {
		if err := ValidName(fmt.Sprintf("Kinds[%d]", i), kind); err != nil {
			return err
		}
	}
	if c.Limit < 0 {
		return invalid("Limit", c.Limit, "must not be negative")
	}
	return nil
}

// Validate reports why the outcome cannot be recorded; the error wraps ErrInvalid. Error and Stack may hold anything:
// a store keeps what CleanText makes of them, because an outcome that is refused for its text would be lost.
func (o Outcome) Validate() error {
	if err := ValidID("TaskID", o.TaskID); err != nil {
		return err
	}
	if o.Run < 1 {
		return invalid("Run", o.Run, "must be 1 or more")
	}
	if !CanMove(Running, o.To) {
		return invalid("To", o.To, "must be what a running task can become: %v", moves[Running])
	}
	if err := sized("Result", o.Result, MaxResult); err != nil {
		return err
	}
	if o.To == Retryable || o.To == Scheduled {
		if err := ValidTime("ScheduledAt", o.ScheduledAt); err != nil {
			return err
		}
	}
	return ValidTime("FinishedAt", o.FinishedAt)
}

// Validate reports why the progress cannot be recorded; the error wraps ErrInvalid.
func (p Progress) Validate() error {
	if err := ValidID("TaskID", p.TaskID); err != nil {
		return err
	}
	if p.Fraction >= 0 && p.Fraction <= 1 { // false for NaN too
		return nil
	}
	return invalid("Fraction", p.Fraction, "must be from 0 to 1")
}

// Validate reports why nothing can be listed by the query; the error wraps ErrInvalid.
func (q Query) Validate() error {
	for i, state := range q.States {
		if !state.Valid() {
			return invalid(fmt.Sprintf("States[%d]", i), state, "must be one of %v", States)
		}
	}
	if err := optional("Kind", q.Kind); err != nil {
		return err
	}
	if err := optional("Runner", q.Runner); err != nil {
		return err
	}
	if q.After.Seq < 0 || q.After.Pos < 0 || q.After.Seq > 0 && q.After.Pos > 0 {
		return invalid("After", q.After, "must have a positive Seq or a positive Pos, or neither")
	}
	return listLimit(q.Limit)
}

// Size is how many tasks List gives at most: Limit, or 50 if that is zero.
func (q Query) Size() int { return listSize(q.Limit) }

// Validate reports why no outcomes can be given; the error wraps ErrInvalid.
func (q OutcomeQuery) Validate() error {
	if err := optional("Runner", q.Runner); err != nil {
		return err
	}
	if q.After < FromNow {
		return invalid("After", q.After, "must be a cursor, FromOldest or FromNow")
	}
	return listLimit(q.Limit)
}

// Start is the cursor to look behind, given the largest Pos of the runner's outcomes that were deleted, and where the order ends: what
// FromNow tells, or any place behind After. ErrCursorExpired if After stands before the one, ErrCursorAhead if it stands behind the
// other. It is for those who write a store.
func (q OutcomeQuery) Start(deleted, end int64) (int64, error) {
	switch {
	case (q.After > FromOldest || q.Gapless) && q.After < deleted:
		return 0, fmt.Errorf("%w: the cursor is %d, outcomes up to %d were deleted", ErrCursorExpired, q.After, deleted)
	case q.After > max(deleted, end):
		return 0, fmt.Errorf("%w: the cursor is %d, the last outcome %d", ErrCursorAhead, q.After, end)
	}
	return max(q.After, deleted), nil
}

// Size is how many outcomes are given at most: Limit, or 50 if that is zero.
func (q OutcomeQuery) Size() int { return listSize(q.Limit) }

func listLimit(limit int) error {
	if limit < 0 || limit > MaxList {
		return invalid("Limit", limit, "must be from 0 to %d", MaxList)
	}
	return nil
}

func listSize(limit int) int {
	if limit == 0 {
		return 50
	}
	return limit
}

// Validate reports why nothing can be deleted; the error wraps ErrInvalid.
func (e Expiry) Validate() error {
	if err := ValidName("Runner", e.Runner); err != nil {
		return err
	}
	if e.Limit < 0 {
		return invalid("Limit", e.Limit, "must not be negative")
	}
	for _, state := range [...]State{Completed, Cancelled, Discarded} {
		if err := optionalTime(string(state), e.Before(state)); err != nil {
			return err
		}
	}
	return optionalTime("Subscribers", e.Subscribers)
}

// optionalTime is ValidTime for a time that may be zero.
func optionalTime(field string, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return ValidTime(field, t)
}

// ValidateAll reports the first task that cannot be recorded, by its index. Insert takes all or none, so one is enough.
func ValidateAll(tasks []NewTask) error {
	for i := range tasks {
		if err := tasks[i].Validate(); err != nil {
			return fmt.Errorf("%w (task %d of %d)", err, i+1, len(tasks))
		}
	}
	return nil
}

// ValidID reports whether id is a UUID in its canonical form; other spellings of the same UUID are refused, because
// ids are compared as they are.
func ValidID(field, id string) error {
	if !canonicalUUID(id) {
		return invalid(field, id, "must be a UUID of 36 characters in lower case")
	}
	return nil
}

// ValidIDs reports the first that is no ID.
func ValidIDs(ids []string) error {
	for i, id := range ids {
		if err := ValidID(fmt.Sprintf("ids[%d]", i), id); err != nil {
			return err
		}
	}
	return nil
}

// canonicalUUID is asked twice for each task: to parse the id and to write it again takes ten times as long.
func canonicalUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// ValidTime reports whether t can be kept: set, and in the years 1 to 9999, which is what JSON and every database can
// write.
func ValidTime(field string, t time.Time) error {
	if t.IsZero() {
		return invalid(field, "the zero time", "must be set")
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return invalid(field, t, "must be in the years 1 to 9999")
	}
	return nil
}

// ValidName reports whether name can be that of a runner, a node or a kind, or a key that is looked for: not empty, not
// longer than MaxName, UTF-8 without control characters.
func ValidName(field, name string) error {
	if name == "" {
		return invalid(field, name, "must not be empty")
	}
	return optional(field, name)
}

// optional is ValidName for a name that may be empty. Control characters are refused because names come to be in logs,
// on terminals and in URLs.
func optional(field, name string) error {
	if len(name) > MaxName {
		return invalid(field, name, "must not be longer than %d bytes, is %d", MaxName, len(name))
	}
	if printableASCII(name) { // as most are
		return nil
	}
	if !utf8.ValidString(name) {
		return invalid(field, name, "must be valid UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return invalid(field, name, "must not contain control characters")
		}
	}
	return nil
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sized names the size, not the bytes: they may be a megabyte, and a secret.
func sized(field string, data []byte, limit int) error {
	if len(data) > limit {
		return invalid(field, fmt.Sprintf("%d bytes", len(data)), "must not be larger than %d bytes", limit)
	}
	return nil
}

// shownValue is how many bytes of a refused value its error shows: enough to recognise it, and no megabyte in a log.
const shownValue = 80

func invalid(field string, value any, expected string, args ...any) error {
	shown := fmt.Sprint(value)
	if len(shown) > shownValue {
		shown = shown[:shownValue] + "…"
	}
	return fmt.Errorf("%w: %s is %q: it %s", ErrInvalid, field, shown, fmt.Sprintf(expected, args...))
}
