// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//
// qemu-user turns the counter of an eventfd into the guest's byte order, but
// forgets to for a descriptor that fcntl made, as Rust's try_clone does. One that
// dup made it knows. Linked into what is tested under it, before libc.
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int fcntl(int fd, int command, ...)
{
	va_list rest;
	va_start(rest, command);
	long argument = va_arg(rest, long);
	va_end(rest);

	if (command != F_DUPFD_CLOEXEC)
		return syscall(SYS_fcntl, fd, command, argument);
	int copy = dup(fd);
	if (copy >= 0)
		syscall(SYS_fcntl, copy, F_SETFD, FD_CLOEXEC);
	return copy;
}
