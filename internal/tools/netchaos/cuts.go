package main

// Ways in which a machine is cut off.
const (
	cutDown  = "device down"       // the machine itself knows that it has no network
	cutBoth  = "silent both ways"  // nothing comes and nothing goes, and nobody is told
	cutIn    = "silent to it"      // what comes is lost
	cutOut   = "silent from it"    // what goes is lost
	cutReset = "connections reset" // all there are at once, and then whatever comes
)
