package main

import "syscall"

// endWithParent ends a process when this one ends, however that happens.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
