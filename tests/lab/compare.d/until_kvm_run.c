// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * until_kvm_run PROGRAM WORDS...
 *
 * Runs a program until it, or what it started, asks for KVM_RUN for the first
 * time; prints what the process that asks has used since its exec, and kills it:
 *
 *   cpu_us=N      CPU time of all its threads, user and system
 *   rss_kib=N     resident now, counted page by page (smaps_rollup)
 *   peak_kib=N    the most it ever had, as the kernel keeps count (VmHWM)
 *   faults=N      page faults
 *
 * Addresses are not randomised: an emulated machine translates a program anew
 * wherever it comes to lie, and that time would be the emulator's.
 *
 * A seccomp filter hands the request to us and leaves the thread that makes it
 * where it is. So nothing is stopped before, nothing is polled, and no guest
 * runs; what it costs is the filter, six instructions for a system call.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS	(300 * 1000)

static void die(const char *what)
{
	perror(what);
	exit(125);
}

/* A filter for us and all that we start; the descriptor from which it tells. */
static int listen_for_kvm_run(void)
{
	const unsigned int low = __BYTE_ORDER == __BIG_ENDIAN ? 4 : 0;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + low),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(*filter),
		.filter = filter,
	};
	int listener;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("PR_SET_NO_NEW_PRIVS");
	listener = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
			   SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		die("seccomp");
	return listener;
}

static long microseconds(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		die("clock_gettime");
	return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* The number behind NAME in a file of /proc/PID, -1: it is not there. */
static long number(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	long found = -1;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	in = fopen(path, "r");
	if (!in)
		die(path);
	while (found < 0 && fgets(line, sizeof(line), in))
		if (!strncmp(line, name, strlen(name)))
			found = strtol(line + strlen(name), NULL, 10);
	fclose(in);
	return found;
}

/* Minor and major faults: members 10 and 12 of /proc/PID/stat. */
static long faults(pid_t pid)
{
	char path[64], line[1024], *end = NULL;
	long minor = 0, major = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	in = fopen(path, "r");
	if (in && fgets(line, sizeof(line), in))
		end = strrchr(line, ')');
	if (!end || sscanf(end, ") %*c %*d %*d %*d %*d %*d %*u %ld %*u %ld", &minor, &major) != 2)
		die(path);
	fclose(in);
	return minor + major;
}

static void report(pid_t thread, long before)
{
	pid_t pid = number(thread, "status", "Tgid:");
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock))
		die("clock_getcpuclockid");
	/* First, before we make it wait any longer. */
	printf("cpu_us=%ld ", microseconds(clock) - before);
	printf("rss_kib=%ld peak_kib=%ld faults=%ld\n", number(pid, "smaps_rollup", "Rss:"),
	       number(pid, "status", "VmHWM:"), faults(pid));
	kill(pid, SIGKILL);
}

int main(int argc, char **argv)
{
	struct seccomp_notif asked;
	struct pollfd events[2] = { { .events = POLLIN }, { .events = POLLIN } };
	long *before;
	pid_t child;
	int status;

	if (argc < 2) {
		fprintf(stderr, "usage: until_kvm_run PROGRAM WORDS...\n");
		return 125;
	}
	/* What the child had used when it became the program. */
	before = mmap(NULL, sizeof(*before), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (before == MAP_FAILED)
		die("mmap");
	events[0].fd = listen_for_kvm_run();
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		close(events[0].fd);
		if (personality(ADDR_NO_RANDOMIZE) < 0)
			die("personality");
		*before = microseconds(CLOCK_PROCESS_CPUTIME_ID);
		execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	events[1].fd = syscall(__NR_pidfd_open, child, 0);
	if (events[1].fd < 0 || poll(events, 2, TIMEOUT_MS) < 0)
		die("poll");
	memset(&asked, 0, sizeof(asked));
	if (events[0].revents & POLLIN && !ioctl(events[0].fd, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
		report(asked.pid, *before);
		waitpid(child, &status, 0);
		return 0;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	fprintf(stderr, "until_kvm_run: %s never asked for KVM_RUN\n", argv[1]);
	return 1;
}
