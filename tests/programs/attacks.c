/*
 * Doors into the kernel, each tried once: `attacks NAME [ARGUMENT]`.
 * Exit code 0: it is open. 1: it is not, and the errno is on standard error.
 * 2: no such attack. Whatever opens is closed again and nothing is changed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Numbers of x86_64 that older headers lack. */
#define NR_io_uring_setup 425
#define NR_open_tree 428
#define NR_fsopen 430
#define NR_pidfd_open 434
#define NR_clone3 435
#define NR_pidfd_getfd 438
#define NR_mount_setattr 442

/* Did a call get past who guards it, whatever it thought of its arguments? */
static int passed(long answer)
{
    return answer >= 0 || (errno != EPERM && errno != ENOSYS && errno != EACCES);
}

static int done(long answer) { return answer >= 0; }

static int userfaultfd_(const char *a) { return done(syscall(SYS_userfaultfd, 1 /* user mode only */)); }

static int io_uring(const char *a)
{
    char params[120] = {0};

    return done(syscall(NR_io_uring_setup, 4, params));
}

static int bpf(const char *a)
{
    /* union bpf_attr: an array of one word. */
    unsigned attr[32] = {2, 4, 4, 1};

    return done(syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attr, sizeof attr));
}

static int perf(const char *a)
{
    /* struct perf_event_attr: a software clock of this task, by user alone. */
    unsigned long attr[16] = {1 | sizeof attr << 32, 1};

    attr[5] = 1 << 5 | 1 << 6;
    return done(syscall(SYS_perf_event_open, attr, 0, -1, -1, 0));
}

static int keyring(const char *a)
{
    return done(syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_SESSION_KEYRING));
}

/* Leaves a key where others of the same user find it, until it is killed. */
static int leave_key(const char *name)
{
    long key = syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_USER_KEYRING);

    if (key < 0)
        return 0;
    syscall(SYS_keyctl, KEYCTL_SETPERM, key, 0x3f3f3f3f);
    puts("left");
    fflush(stdout);
    pause();
    return 1;
}

static int find_key(const char *name)
{
    return done(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", name, 0)) ||
           done(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0));
}

static int drop_key(const char *name)
{
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", name, 0);

    return key >= 0 && done(syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING));
}

static int trace(const char *pid)
{
    if (ptrace(PTRACE_SEIZE, atoi(pid), 0, 0))
        return 0;
    ptrace(PTRACE_INTERRUPT, atoi(pid), 0, 0);
    waitpid(atoi(pid), 0, __WALL);
    ptrace(PTRACE_DETACH, atoi(pid), 0, 0);
    return 1;
}

static int getfd(const char *pid)
{
    long process = syscall(NR_pidfd_open, atoi(pid), 0);

    return process >= 0 && done(syscall(NR_pidfd_getfd, process, 0, 0));
}

static int memory(const char *pid)
{
    char byte, path[64];
    unsigned long at = 0;
    struct iovec here = {&byte, 1}, there = {0, 1};
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    if (!(maps = fopen(path, "r")) || fscanf(maps, "%lx", &at) != 1)
        return 0;
    there.iov_base = (void *)at;
    return done(process_vm_readv(atoi(pid), &here, 1, &there, 1, 0));
}

static char child_stack[65536];

static int nothing(void *unused) { return 0; }

static int clone_user(const char *a)
{
    return done(clone(nothing, child_stack + sizeof child_stack, CLONE_NEWUSER | SIGCHLD, 0));
}

static int clone3_user(const char *a)
{
    unsigned long args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(NR_clone3, args, sizeof args);

    if (!child)
        _exit(0);
    return child > 0;
}

static int unshare_user(const char *a) { return done(unshare(CLONE_NEWUSER)); }
static int join_init(const char *a)
{
    int fd = open("/proc/1/ns/mnt", O_RDONLY);

    return fd >= 0 && done(setns(fd, 0));
}

static int fsopen_(const char *a) { return done(syscall(NR_fsopen, "tmpfs", 0)); }
static int clone_tree(const char *a) { return done(syscall(NR_open_tree, AT_FDCWD, "/proc", 1)); }

/* Takes "read-only" from a kernel file system. */
static int make_writable(const char *path)
{
    unsigned long attr[4] = {0, 1 /* MOUNT_ATTR_RDONLY */, 0, 0};

    return done(syscall(NR_mount_setattr, AT_FDCWD, path, 0, attr, sizeof attr));
}

static int module(const char *a) { return passed(syscall(SYS_init_module, "", 0, "")); }
static int swap(const char *a) { return passed(syscall(SYS_swapon, "/nowhere", 0)); }
static int ports(const char *a) { return done(syscall(SYS_iopl, 3)); }
static int fanotify(const char *a) { return done(syscall(SYS_fanotify_init, 4 /* FAN_CLASS_CONTENT */, 0)); }

static int kernel_log(const char *a)
{
    return done(syscall(SYS_syslog, 9 /* SYSLOG_ACTION_SIZE_UNREAD */, 0, 0));
}

static int vsock(const char *a) { return passed(socket(40, SOCK_STREAM, 0)); }
static int crypto(const char *a) { return passed(socket(38, SOCK_SEQPACKET, 0)); }

struct handle {
    struct file_handle head;
    unsigned char bytes[128];
};

/* Prints how the kernel calls a file. */
static int name_handle(const char *path)
{
    struct handle handle;
    int mount;

    handle.head.handle_bytes = sizeof handle.bytes;
    if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0))
        return 0;
    printf("%d:", handle.head.handle_type);
    for (unsigned n = 0; n < handle.head.handle_bytes; n++)
        printf("%02x", handle.head.f_handle[n]);
    printf("\n");
    return 1;
}

/* Opens a file of the host by that, through a mount of its file system. */
static int open_handle(const char *text)
{
    struct handle handle;
    const char *at = strchr(text, ':') + 1;
    char buffer[64];
    int mount = open("/given", O_RDONLY), file;
    ssize_t length;

    handle.head.handle_type = atoi(text);
    handle.head.handle_bytes = strlen(at) / 2;
    for (unsigned n = 0; n < handle.head.handle_bytes; n++) {
        unsigned byte;

        sscanf(at + 2 * n, "%2x", &byte);
        handle.head.f_handle[n] = byte;
    }
    file = open_by_handle_at(mount, &handle.head, O_RDONLY);
    length = file < 0 ? -1 : read(file, buffer, sizeof buffer);
    if (length <= 0)
        return 0;
    fwrite(buffer, 1, length, stdout);
    return 1;
}

static const struct {
    const char *name;
    int (*attack)(const char *);
} attacks[] = {
    {"userfaultfd", userfaultfd_}, {"io_uring", io_uring},
    {"bpf", bpf},                  {"perf", perf},
    {"keyring", keyring},          {"leave_key", leave_key},
    {"find_key", find_key},        {"drop_key", drop_key},
    {"trace", trace},
    {"getfd", getfd},              {"memory", memory},
    {"clone_user", clone_user},    {"clone3_user", clone3_user},
    {"unshare_user", unshare_user}, {"join_init", join_init},
    {"fsopen", fsopen_},           {"clone_tree", clone_tree},
    {"make_writable", make_writable}, {"module", module},
    {"swap", swap},                {"ports", ports},
    {"fanotify", fanotify},        {"kernel_log", kernel_log},
    {"vsock", vsock},              {"crypto", crypto},
    {"name_handle", name_handle},  {"open_handle", open_handle},
};

int main(int argc, char **argv)
{
    for (unsigned n = 0; argc > 1 && n < sizeof attacks / sizeof *attacks; n++) {
        if (strcmp(argv[1], attacks[n].name))
            continue;
        if (attacks[n].attack(argc > 2 ? argv[2] : ""))
            return 0;
        perror(argv[1]);
        return 1;
    }
    return 2;
}
