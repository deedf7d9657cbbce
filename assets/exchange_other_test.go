//go:build !linux

package assets_test

import "os"

// exchange swaps two names; in between there is a moment without the first.
func exchange(a, b string) {
	_ = os.Rename(a, a+".tmp")
	_ = os.Rename(b, a)
	_ = os.Rename(a+".tmp", b)
}
