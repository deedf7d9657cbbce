// Package remotepb is what travels between machines, generated from tasks.proto, which is for programs in any language, and link.proto,
// which is for the client in package remote.
package remotepb
