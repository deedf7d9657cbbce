package messages

import "reflect"

// Is reports whether err is target or wraps it, as errors.Is does, for errors that somebody else has made. Where the two
// differ:
//
//   - A method of the error that panics says nothing, and what stands beside it is still found.
//   - It looks at 1024 errors at most, 64 of them one inside the other, so that an error which wraps itself is no loop.
//   - It does not look into a [PanicError]: code that panicked with Shutdown was not shut down.
//
// A method that hangs, or that ends its goroutine with runtime.Goexit, cannot be helped: Go cannot end it from outside.
func Is(err, target error) bool {
	if err == nil || target == nil {
		return err == nil && target == nil
	}
	byValue := reflect.TypeOf(target).Comparable()
	return search(err, func(e error) bool { return matches(e, target, byValue) })
}

// matches compares one error with the target, whatever it wraps.
func matches(err, target error, byValue bool) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	if byValue && err == target { //nolint:errorlint // what err wraps is looked at one by one
		return true
	}
	e, ok := err.(interface{ Is(target error) bool })
	return ok && e.Is(target)
}

// isPanic reports whether err itself is a panic.
func isPanic(err error) bool {
	_, ok := err.(*PanicError) //nolint:errorlint // as above
	return ok
}

// search looks for an error that match says yes to: err, or what it wraps, but for what was panicked with.
func search(err error, match func(error) bool) bool {
	s := searcher{match: match, unwraps: maxUnwraps}
	return s.below(err, maxChain)
}

// searcher counts down how many errors may still be looked at.
type searcher struct {
	match   func(error) bool
	unwraps int
}

func (s *searcher) below(err error, chain int) bool {
	if err == nil || s.unwraps == 0 || chain == 0 {
		return false
	}
	s.unwraps--
	if s.match(err) {
		return true
	}
	if isPanic(err) {
		return false
	}
	for _, e := range unwrap(err) {
		if s.below(e, chain-1) {
			return true
		}
	}
	return false
}
