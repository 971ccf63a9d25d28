/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/bytes.h"

/* Another architecture has to be named here, too. */
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "an argument's low half is taken to come first");

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW 4
#endif
/* Numbers that are the same on all architectures, and newer than some C library. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* A system call that is let through; with a mask, only when the argument of this number, and the
 * mask, is the value. Several rows for one call: any of them. */
struct row {
	int nr;
	int arg;
	uint32_t mask, value;
};
#define ANY(name)                                                                                  \
	{                                                                                          \
		SYS_##name, 0, 0, 0                                                                \
	}
#define IF(name, arg, value)                                                                       \
	{                                                                                          \
		SYS_##name, arg, UINT32_MAX, value                                                 \
	}
#define NONE(name, arg, bits)                                                                      \
	{                                                                                          \
		SYS_##name, arg, bits, 0                                                           \
	}
#define ALL(name, arg, bits)                                                                       \
	{                                                                                          \
		SYS_##name, arg, bits, bits                                                        \
	}

static const struct row allowed[] = {
	/* What each command takes comes first: older kernels go through the rows one by one. */
	ANY(epoll_pwait2),
	ANY(recvmsg),
	ANY(recvfrom),
	ANY(sendmsg),
	ANY(sendto),
	ANY(recvmmsg),
	ANY(sendmmsg),
	ANY(preadv2),
	ANY(pwritev2),
	ANY(io_uring_enter),
	ANY(futex),
	ANY(read),
	ANY(readv),
	ANY(write),
	ANY(writev),
	ANY(sendfile),
	ANY(splice),
	ANY(tee),
	ANY(vmsplice),
	ANY(mincore),
	ANY(cachestat),
	ANY(epoll_ctl),
	ANY(epoll_pwait),
#ifdef SYS_epoll_wait
	ANY(epoll_wait),
	ANY(poll), /* the log asks for room */
#endif
	ANY(ppoll),

	/* disks, and the files of the state directory */
	ANY(pread64),
	ANY(pwrite64),
	ANY(preadv),
	ANY(pwritev),
	ANY(fsync),
	ANY(fdatasync),
	ANY(sync_file_range),
	ANY(fallocate),
	ANY(ftruncate),
	ANY(fadvise64),
	ANY(readahead),
	ANY(copy_file_range),
	ANY(lseek),
	ANY(flock),
	ANY(fcntl),
	ANY(fstat),
	ANY(newfstatat),
	ANY(statx),
	ANY(fstatfs),
	ANY(faccessat2),
	ANY(openat),
	ANY(close),
	ANY(renameat2),
	ANY(unlinkat),
	ANY(getdents64),
#ifdef SYS_renameat
	ANY(renameat),
#endif
#ifdef SYS_open /* what the newer architectures never had */
	ANY(open),
	ANY(stat),
	ANY(lstat),
	ANY(rename),
	ANY(unlink),
#endif
	IF(ioctl, 1, BLKGETSIZE64),
	IF(ioctl, 1, BLKSSZGET),
	IF(ioctl, 1, BLKZEROOUT),
	IF(ioctl, 1, BLKDISCARD),
	IF(ioctl, 1, TIOCGWINSZ), /* isatty(3), of stdio */
	IF(ioctl, 1, FIONREAD),

	/* sockets: those for the network come from the opener and from accept() */
	IF(socket, 0, AF_NETLINK), /* getifaddrs(3): --allow's directly connected networks */
	ANY(bind),
	ANY(accept4),
	ANY(getsockname),
	ANY(getpeername),
	ANY(setsockopt),
	ANY(getsockopt),
	ANY(shutdown),

	/* the loop, pipes to splice through; rings of io_uring are there already */
	ANY(epoll_create1),
	ANY(eventfd2),
	ANY(pipe2),

	/* memory, none of it to be executed */
	ANY(brk),
	NONE(mmap, 2, PROT_EXEC),
	NONE(mprotect, 2, PROT_EXEC),
	ANY(munmap),
	ANY(mremap),
	ANY(madvise),
	ANY(mlock),
	ANY(munlock),

	/* threads, but no processes */
	ALL(clone, 0, CLONE_THREAD),
	ANY(set_robust_list),
	ANY(set_tid_address),
	ANY(sched_yield),
	ANY(sched_getaffinity),
	ANY(sched_setaffinity),
	ANY(membarrier),
	IF(prctl, 0, PR_SET_NAME),
#ifdef SYS_rseq
	ANY(rseq),
#endif
	ANY(exit),
	ANY(exit_group),
	ANY(wait4),

	/* signals and time */
	ANY(rt_sigaction),
	ANY(rt_sigprocmask),
	ANY(rt_sigreturn),
	ANY(sigaltstack),
	ANY(restart_syscall),
	ANY(nanosleep),
	ANY(clock_nanosleep),
	ANY(clock_gettime),
	ANY(clock_getres),
	ANY(gettimeofday),

	/* who and where we are */
	ANY(getpid),
	ANY(gettid),
	ANY(getuid),
	ANY(geteuid),
	ANY(getgid),
	ANY(getegid),
	ANY(uname),
	ANY(getrandom),
	ANY(getrusage),
	ANY(sysinfo),

#ifdef __SANITIZE_ADDRESS__
	/* The search for leaks at the end stops all threads, from a process of its own. */
	ANY(clone),
	ANY(prctl),
	ANY(ptrace),
	ANY(process_vm_readv),
	ANY(readlinkat),
	ANY(getppid),
	ANY(kill),
	ANY(prlimit64),
#ifdef SYS_readlink
	ANY(readlink),
	ANY(access),
	ANY(getdents),
	ANY(pipe),
	ANY(dup2),
	ANY(arch_prctl),
#endif
#endif
};

/* Room for the table, for connect() and tgkill(), and for the frame. */
#define FILTER_MAX (6 * (ARRAY_SIZE(allowed) + 2) + 16)

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short n;
};

static void put(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	f->code[f->n++] = (struct sock_filter){.code = code, .k = k, .jt = jt, .jf = jf};
}

static void load(struct filter *f, size_t offset)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* With the number of the system call loaded, before and after. */
static void put_row(struct filter *f, const struct row *r)
{
	if (!r->mask) {
		put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0, 1);
		put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
		return;
	}
	put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0, 5);
	/* Those that are compared are of 32 bits, or have their flags there. */
	load(f, offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)r->arg);
	put(f, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
	put(f, BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1);
	put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	load(f, offsetof(struct seccomp_data, nr));
}

int syscalls_limit(bool may_connect)
{
	static const struct row connects = ANY(connect);
	/* abort(3); to no other process of this user */
	const struct row kills = IF(tgkill, 0, (uint32_t)getpid());
	struct filter f = {.n = 0};
	struct sock_fprog program = {.filter = f.code};

	load(&f, offsetof(struct seccomp_data, arch));
	put(&f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	put(&f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
	load(&f, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		put_row(&f, &allowed[i]);
	put_row(&f, &kills);
	if (may_connect)
		put_row(&f, &connects);
#ifdef SYS_clone3
	/* Its flags are out of reach here: glibc falls back on clone() only when there is none. */
	put(&f, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
	put(&f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
#endif
	/* Never the end of the process: guests' disks hang on it. */
	put(&f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
	program.len = f.n;
	/* Speculation is for programs that run others' code to guard against; kernels before 5.16
	 * do it for whoever has a filter, and each branch costs more then. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &program) == 0)
		return 0;
	if (errno == EINVAL && /* before 4.17 */
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return 0;
	return -errno;
}
