// Package harness is what the harnesses have in common that make trouble for processes of ours and judge what becomes of it:
// processes that die with them and can stand still, one clock for all of them, a place of their own in which they harm nobody, and
// how what they came to is told.
package harness
