//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// asNobody has a program run without the rights of root, to whom every file can be written.
func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
}
