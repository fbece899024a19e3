#include "executor/sandbox/seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"

#define LAST_CALL 1024 /* no architecture has more */
#define SEGMENT_MAX_BYTES 65536
#define SOCKET_TYPE_MASK 0xf      /* without SOCK_CLOEXEC, SOCK_NONBLOCK */
#define WORD UINT64_C(0xffffffff) /* of arguments that the kernel takes as int */
#define FAMILIES 64
#define WORD_BITS 32

/* Refused with EPERM: what they do is not for agents. Names that this machine does not have are no harm. */
static const char *const refused[] = {
	/* the file system's shape */
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"chroot",
	"mount_setattr",
	"move_mount",
	"open_tree",
	"open_tree_attr",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"swapon",
	"swapoff",
	"quotactl",
	"quotactl_fd",
	"nfsservctl",
	"sysfs",
	"ustat",
	"fanotify_init",
	"fanotify_mark",
	"name_to_handle_at",
	"open_by_handle_at",
	"lookup_dcookie",
	"acct",
	/* namespaces */
	"setns",
	"personality",
	/* the kernel itself */
	"bpf",
	"kexec_load",
	"kexec_file_load",
	"init_module",
	"finit_module",
	"delete_module",
	"create_module",
	"query_module",
	"get_kernel_syms",
	"perf_event_open",
	"syslog",
	"reboot",
	"uselib",
	"_sysctl",
	"vserver",
	"userfaultfd",
	"kcmp",
	"bdflush",
	"pciconfig_read",
	"pciconfig_write",
	"pciconfig_iobase",
	"s390_pci_mmio_read",
	"s390_pci_mmio_write",
	"iopl",
	"ioperm",
	"modify_ldt",
	"vm86",
	"vm86old",
	"vhangup",
	"memfd_secret",
	/* other processes */
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"process_mrelease",
	"pidfd_getfd",
	"migrate_pages",
	"move_pages",
	"mbind",
	"set_mempolicy",
	"set_mempolicy_home_node",
	"get_mempolicy",
	/* keys */
	"keyctl",
	"add_key",
	"request_key",
	/* clocks and names */
	"settimeofday",
	"stime",
	"clock_settime",
	"clock_settime64",
	"clock_adjtime",
	"clock_adjtime64",
	"adjtimex",
	"sethostname",
	"setdomainname",
};

/* As if the kernel did not have them: libraries then go another way. */
static const char *const absent[] = {
	"clone3",         "openat2", /* their flags and modes are in memory, where a filter cannot look */
	"io_uring_setup", "io_uring_enter", "io_uring_register",
};

static struct scmp_arg_cmp has_bits(unsigned argument, uint64_t bits)
{
	return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, bits, bits);
}

static struct scmp_arg_cmp is_masked(unsigned argument, uint64_t mask, uint64_t value)
{
	return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value);
}

/* Of an argument that the kernel takes as int: what stands in the other half of the register does not matter. */
static struct scmp_arg_cmp is_word(unsigned argument, uint64_t word)
{
	return is_masked(argument, WORD, word);
}

/* The first failure stays in *rc. A call that this architecture does not have needs no rule. */
static void refuse_when(scmp_filter_ctx filter, int errnum, const char *name, unsigned count,
						const struct scmp_arg_cmp *conditions, int *rc)
{
	int call = seccomp_syscall_resolve_name(name);
	if (*rc == 0 && call >= 0)
		*rc = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)errnum), call, count, conditions);
}

static void refuse_one(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp condition, int *rc)
{
	refuse_when(filter, EPERM, name, 1, &condition, rc);
}

static void refuse_two(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp first, struct scmp_arg_cmp second,
					   int *rc)
{
	const struct scmp_arg_cmp conditions[] = {first, second};
	refuse_when(filter, EPERM, name, ARRAY_LEN(conditions), conditions, rc);
}

/* No new namespace of any kind, with a new process or without. */
static void refuse_namespaces(scmp_filter_ctx filter, int *rc)
{
	static const uint64_t flags[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
									 CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		refuse_one(filter, "clone", has_bits(0, flags[i]), rc);
		refuse_one(filter, "unshare", has_bits(0, flags[i]), rc);
	}
	refuse_one(filter, "unshare", has_bits(0, CLONE_NEWTIME), rc); /* in clone this bit belongs to the exit signal */
}

/* Of one type every protocol but 0 and the named one: SCTP, L2TP, MPTCP and their like are rarely used code of the
 * kernel, which it loads as a module when it is asked for. */
static void refuse_protocols(scmp_filter_ctx filter, uint64_t family, uint64_t type, uint64_t allowed, int *rc)
{
	CHECK(__builtin_popcountll(allowed) == 2); /* what is below takes it for granted */
	for (unsigned bit = 0; bit < WORD_BITS; bit++) {
		uint64_t value = UINT64_C(1) << bit;
		/* A bit that the allowed one does not have; or one of those alone. */
		bool foreign = (allowed & value) == 0;
		if (!foreign && value == allowed)
			continue;
		const struct scmp_arg_cmp conditions[] = {is_word(0, family), is_masked(1, SOCKET_TYPE_MASK, type),
												  foreign ? has_bits(2, value) : is_word(2, value)};
		refuse_when(filter, EPROTONOSUPPORT, "socket", ARRAY_LEN(conditions), conditions, rc);
	}
}

/* What is left: Unix sockets, streams and datagrams of the Internet, and the kernel's list of interfaces. No raw or
 * packet sockets, and nothing that does not end at the network namespace (AF_VSOCK reaches the machine's host). */
static void refuse_sockets(scmp_filter_ctx filter, int *rc)
{
	for (uint64_t family = 0; family < FAMILIES; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
			continue;
		refuse_one(filter, "socket", is_word(0, family), rc);
		refuse_one(filter, "socketpair", is_word(0, family), rc);
	}
	for (uint64_t bit = FAMILIES; bit <= WORD; bit <<= 1) { /* larger numbers */
		refuse_one(filter, "socket", has_bits(0, bit), rc);
		refuse_one(filter, "socketpair", has_bits(0, bit), rc);
	}
	for (uint64_t type = 0; type <= SOCKET_TYPE_MASK; type++) {
		if (type == SOCK_STREAM || type == SOCK_DGRAM)
			continue;
		refuse_two(filter, "socket", is_word(0, AF_INET), is_masked(1, SOCKET_TYPE_MASK, type), rc);
		refuse_two(filter, "socket", is_word(0, AF_INET6), is_masked(1, SOCKET_TYPE_MASK, type), rc);
	}
	static const uint64_t families[] = {AF_INET, AF_INET6};
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		refuse_protocols(filter, families[i], SOCK_STREAM, IPPROTO_TCP, rc);
		refuse_protocols(filter, families[i], SOCK_DGRAM, IPPROTO_UDP, rc);
	}
	for (unsigned bit = 0; bit < WORD_BITS; bit++) /* every protocol but 0, NETLINK_ROUTE */
		refuse_two(filter, "socket", is_word(0, AF_NETLINK), has_bits(2, UINT64_C(1) << bit), rc);
}

/* Set-user-id and set-group-id never appear on files, which outlive the sandbox, and no device does. */
static void refuse_modes(scmp_filter_ctx filter, int *rc)
{
	static const struct {
		const char *name;
		unsigned mode; /* the argument */
	} calls[] = {{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2},
				 {"creat", 1}, {"mknod", 1},  {"mknodat", 2}};
	static const uint64_t bits[] = {S_ISUID, S_ISGID};
	/* Without one of these there is no mode. */
	static const uint64_t creating[] = {O_CREAT, O_TMPFILE & ~(uint64_t)O_DIRECTORY};
	for (size_t b = 0; b < ARRAY_LEN(bits); b++) {
		for (size_t i = 0; i < ARRAY_LEN(calls); i++)
			refuse_one(filter, calls[i].name, has_bits(calls[i].mode, bits[b]), rc);
		for (size_t c = 0; c < ARRAY_LEN(creating); c++) {
			refuse_two(filter, "open", has_bits(1, creating[c]), has_bits(2, bits[b]), rc);
			refuse_two(filter, "openat", has_bits(2, creating[c]), has_bits(3, bits[b]), rc);
		}
	}
	static const uint64_t devices[] = {S_IFCHR, S_IFBLK};
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		refuse_one(filter, "mknod", is_masked(1, S_IFMT, devices[i]), rc);
		refuse_one(filter, "mknodat", is_masked(2, S_IFMT, devices[i]), rc);
	}
}

static void refuse_all(scmp_filter_ctx filter, bool scarce, int *rc)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		refuse_when(filter, EPERM, refused[i], 0, NULL, rc);
	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		refuse_when(filter, ENOSYS, absent[i], 0, NULL, rc);
	refuse_namespaces(filter, rc);
	refuse_sockets(filter, rc);
	refuse_modes(filter, rc);
	/* Words put into a terminal's mouth. */
	refuse_one(filter, "ioctl", is_word(1, TIOCSTI), rc);
	refuse_one(filter, "ioctl", is_word(1, TIOCLINUX), rc);
	if (scarce) {
		refuse_when(filter, ENOSYS, "memfd_create", 0, NULL, rc);
		refuse_one(filter, "shmget", SCMP_CMP64(1, SCMP_CMP_GT, SEGMENT_MAX_BYTES), rc);
	}
}

/* The highest number that the library has a name for. */
static uint32_t last_known_call(void)
{
	uint32_t last = 0;
	for (uint32_t call = 0; call < LAST_CALL; call++) {
		CLEANUP(free_p) char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)call);
		if (name != NULL)
			last = call;
	}
	return last;
}

/* Stands before the library's program, which then sees only calls that it knows (or another architecture's, which it
 * answers with the end of the process). */
static int write_unknown(int fd)
{
	const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last_known_call(), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	return write(fd, program, sizeof(program)) == (ssize_t)sizeof(program) ? 0 : -errno;
}

int seccomp_filter_make(bool scarce, int *ret_fd, struct error *err)
{
	CLEANUP(close_p) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	scmp_filter_ctx filter = fd < 0 ? NULL : seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL ? -ENOMEM : 0;
	if (rc == 0)
		refuse_all(filter, scarce, &rc);
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (rc == 0)
		rc = write_unknown(fd);
	if (rc == 0)
		rc = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = -errno;
	if (rc < 0)
		return error_set_errno(err, -rc, "the filter of system calls");
	*ret_fd = fd_take(&fd);
	return 0;
}
