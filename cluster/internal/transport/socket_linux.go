package transport

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT. gRPC would set it as well, but not on a connection that is wrapped.
const tcpUserTimeout = 0x12

func controlSocket(_, _ string, c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unackedTimeout.Milliseconds()))
	}); err != nil {
		return err
	}
	return failed
}
