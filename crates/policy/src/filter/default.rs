//! The default filter of system calls, as data: what a container may call.
//!
//! The set is that of Docker's default profile (moby/profiles, 2026), so that
//! an image that runs there runs here; what is in no group below is refused
//! with `EPERM`, or with `ENOSYS` if it is newer than all that are. Left out
//! on purpose, among others:
//!
//! - `add_key`, `keyctl`, `request_key`: keyrings belong to no namespace;
//! - `io_uring_*`: reaches files and sockets past this filter, and a large
//!   part of the kernel's known holes;
//! - `userfaultfd`, `kexec_load`, `swapon`, `nfsservctl`, `uselib`, `ustat`,
//!   `sysfs`, `_sysctl`, `vm86`: power over the kernel, or a relic;
//! - `open_tree_attr`, `file_getattr`, `file_setattr`, `listns`: newer than
//!   the peers' list. They answer `ENOSYS`, and programs do without.

/// Calls that are allowed together, and when.
pub struct Group {
    /// On what it depends.
    pub when: When,
    /// Names; an architecture that lacks one skips it.
    pub calls: &'static [&'static str],
}

/// On what a group depends.
pub enum When {
    /// Nothing.
    Always,
    /// A capability, without which the calls do harm or nothing.
    Cap(&'static str),
    /// The machine is an x86.
    X86,
    /// The machine is an ARM.
    Arm,
}

use When::{Always, Arm, Cap, X86};

/// All that are allowed whatever their arguments.
#[rustfmt::skip]
pub const GROUPS: &[Group] = &[
    // Opening, reading and writing files; the classic and the `*at` kind.
    Group {
        when: Always,
        calls: &[
            "open", "openat", "openat2", "creat", "close", "close_range", "read", "readv",
            "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
            "lseek", "_llseek", "dup", "dup2", "dup3", "fcntl", "fcntl64", "flock", "ioctl",
            "fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "fallocate", "fadvise64",
            "fadvise64_64", "readahead", "truncate", "truncate64", "ftruncate", "ftruncate64",
            "copy_file_range", "sendfile", "sendfile64", "splice", "tee", "vmsplice", "cachestat",
            "name_to_handle_at",
        ],
    },
    // Names, directories, owners and modes. `mknod` makes pipes and sockets;
    // devices are refused by capability, cgroup and `nodev`.
    Group {
        when: Always,
        calls: &[
            "access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "fstat",
            "fstat64", "fstatat64", "newfstatat", "statx", "statfs", "statfs64", "fstatfs",
            "fstatfs64", "getcwd", "chdir", "fchdir", "getdents", "getdents64", "mkdir", "mkdirat",
            "rmdir", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat",
            "symlink", "symlinkat", "readlink", "readlinkat", "mknod", "mknodat", "chmod", "fchmod",
            "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32", "fchownat", "lchown",
            "lchown32", "umask", "utime", "utimes", "futimesat", "utimensat", "utimensat_time64",
        ],
    },
    // Extended attributes, up to the `*at` kind of Linux 6.13.
    Group {
        when: Always,
        calls: &[
            "getxattr", "lgetxattr", "fgetxattr", "getxattrat", "setxattr", "lsetxattr",
            "fsetxattr", "setxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat",
            "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
        ],
    },
    // Reading about mounts tells what /proc/self/mountinfo tells.
    Group { when: Always, calls: &["statmount", "listmount"] },
    // Waiting for and watching files. Marks of fanotify need a group, which
    // only `fanotify_init` gives.
    Group {
        when: Always,
        calls: &[
            "select", "_newselect", "pselect6", "pselect6_time64", "poll", "ppoll", "ppoll_time64",
            "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait",
            "epoll_wait_old", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "inotify_init",
            "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "fanotify_mark", "signalfd",
            "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_settime64",
            "timerfd_gettime", "timerfd_gettime64", "io_setup", "io_destroy", "io_submit",
            "io_cancel", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "pipe", "pipe2",
        ],
    },
    // Memory.
    Group {
        when: Always,
        calls: &[
            "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync",
            "mlock", "mlock2", "mlockall", "munlock", "munlockall", "mseal", "remap_file_pages",
            "memfd_create", "memfd_secret", "membarrier", "map_shadow_stack", "pkey_alloc",
            "pkey_free", "pkey_mprotect", "process_mrelease",
        ],
    },
    // Processes and threads. `clone` and `clone3` have rules of their own.
    Group {
        when: Always,
        calls: &[
            "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid",
            "waitpid", "getpid", "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid",
            "setsid", "set_tid_address", "set_robust_list", "get_robust_list", "rseq",
            "set_thread_area", "get_thread_area", "futex", "futex_time64", "futex_wait",
            "futex_wake", "futex_waitv", "futex_requeue", "restart_syscall", "prctl", "pidfd_open",
            "pidfd_send_signal", "getcpu", "uretprobe",
            // Safe since Linux 4.8, where a traced call is filtered again;
            // ptrace(2) keeps to processes of the same user namespace.
            "ptrace", "process_vm_readv", "process_vm_writev",
        ],
    },
    // Signals.
    Group {
        when: Always,
        calls: &[
            "kill", "tkill", "tgkill", "rt_sigaction", "rt_sigprocmask", "sigprocmask",
            "rt_sigpending", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigreturn", "sigreturn",
            "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigaltstack", "pause",
        ],
    },
    // Who one is. Changing it takes capabilities, which the kernel checks.
    Group {
        when: Always,
        calls: &[
            "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid",
            "getegid32", "getresuid", "getresuid32", "getresgid", "getresgid32", "getgroups",
            "getgroups32", "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32",
            "setregid", "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32",
            "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "setgroups", "setgroups32",
            "capget", "capset",
        ],
    },
    // Giving up more than was taken.
    Group {
        when: Always,
        calls: &[
            "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
        ],
    },
    // Time. Setting it takes `CAP_SYS_TIME`, which the kernel checks.
    Group {
        when: Always,
        calls: &[
            "time", "times", "gettimeofday", "nanosleep", "alarm", "getitimer", "setitimer",
            "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
            "clock_nanosleep", "clock_nanosleep_time64", "clock_adjtime", "clock_adjtime64",
            "adjtimex", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
            "timer_gettime64", "timer_settime", "timer_settime64",
        ],
    },
    // Scheduling, limits and figures.
    Group {
        when: Always,
        calls: &[
            "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
            "sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_getattr",
            "sched_setattr", "sched_get_priority_max", "sched_get_priority_min",
            "sched_rr_get_interval", "sched_rr_get_interval_time64", "getpriority", "setpriority",
            "ioprio_get", "ioprio_set", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64",
            "getrusage", "sysinfo", "uname", "getrandom",
        ],
    },
    // Sockets. `socket` has rules of its own. `socketcall` of 32-bit x86 hides
    // its arguments, so those rules do not hold there; glibc on i386 knows no
    // other way to the network.
    Group {
        when: Always,
        calls: &[
            "socketcall", "socketpair", "bind", "listen", "accept", "accept4", "connect",
            "getsockname", "getpeername", "getsockopt", "setsockopt", "send", "sendto", "sendmsg",
            "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "shutdown",
        ],
    },
    // System V and POSIX IPC, within the IPC namespace.
    Group {
        when: Always,
        calls: &[
            "ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl", "semtimedop",
            "semtimedop_time64", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink",
            "mq_notify", "mq_getsetattr", "mq_timedsend", "mq_timedsend_time64", "mq_timedreceive",
            "mq_timedreceive_time64",
        ],
    },
    // Thread-local storage and segments.
    Group { when: X86, calls: &["arch_prctl", "modify_ldt"] },
    Group {
        when: Arm,
        calls: &[
            "arm_fadvise64_64", "sync_file_range2", "breakpoint",
            "cacheflush", "set_tls",
        ],
    },
    // With a capability that was asked for, the calls that it is about.
    Group { when: Cap("CAP_DAC_READ_SEARCH"), calls: &["open_by_handle_at"] },
    Group {
        when: Cap("CAP_SYS_ADMIN"),
        calls: &[
            "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
            "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mount",
            "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl",
            "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2",
            "unshare",
        ],
    },
    Group { when: Cap("CAP_SYS_BOOT"), calls: &["reboot"] },
    Group { when: Cap("CAP_SYS_CHROOT"), calls: &["chroot"] },
    Group { when: Cap("CAP_SYS_MODULE"), calls: &["init_module", "finit_module", "delete_module"] },
    Group { when: Cap("CAP_SYS_PACCT"), calls: &["acct"] },
    Group { when: Cap("CAP_SYS_PTRACE"), calls: &["kcmp", "pidfd_getfd", "process_madvise"] },
    Group { when: Cap("CAP_SYS_RAWIO"), calls: &["iopl", "ioperm"] },
    Group {
        when: Cap("CAP_SYS_TIME"),
        calls: &["settimeofday", "stime", "clock_settime", "clock_settime64"],
    },
    Group { when: Cap("CAP_SYS_TTY_CONFIG"), calls: &["vhangup"] },
    Group {
        when: Cap("CAP_SYS_NICE"),
        calls: &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    },
    Group { when: Cap("CAP_SYSLOG"), calls: &["syslog"] },
    Group { when: Cap("CAP_BPF"), calls: &["bpf"] },
    Group { when: Cap("CAP_PERFMON"), calls: &["perf_event_open"] },
];

/// All `CLONE_NEW*` flags of `clone(2)` but time, whose bit means a signal
/// there. New namespaces are new powers: refused without `CAP_SYS_ADMIN`.
pub const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Values that `personality(2)` may be given: Linux, Linux without the 4 GB of
/// address space randomised away (`UNAME26`, `PER_LINUX32`), and "tell me".
/// Any other can turn protections off (`READ_IMPLIES_EXEC`, …).
pub const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `AF_ALG`: the kernel's cryptography, which programs do themselves.
pub const AF_ALG: u64 = 38;

/// `AF_VSOCK`: between machine and guest, in no namespace before Linux 7.0.
pub const AF_VSOCK: u64 = 40;
