package servertest

import "testing"

// MDISVGFiles is how many files [MDISVG] gives.
const MDISVGFiles = 7447

// MDISVG gives the folder with the SVG files of the npm package @mdi/svg 7.4.47: real assets, many and small. The
// test must not change them.
func MDISVG(t testing.TB) (dir string) {
	t.Helper()
	dir, ok := inTools("mdi-svg-7.4.47", "package", "svg")
	if !ok {
		missing(t, "the npm package @mdi/svg")
	}
	return dir
}
