package harness

import "errors"

var (
	// ErrLinux says that a harness was only made for Linux. It is built elsewhere too, so that it is not forgotten there.
	ErrLinux = errors.New("harness: this needs Linux")
	// ErrNoNamespace says that the system permits no namespaces to those who have no rights.
	ErrNoNamespace = errors.New("harness: no namespaces are permitted")
)
