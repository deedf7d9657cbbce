//go:build !race

package main

// raceFlag is how the tests were built, and how the program that they start is.
const raceFlag = "-race=false"
