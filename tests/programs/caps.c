/*
 * Which of the 41 capabilities of capabilities(7) the kernel honours, each
 * tried by what it alone allows:
 *
 *     caps [NUMBER...]      prints "NUMBER yes", "NUMBER no" or "NUMBER none"
 *
 * "none" where this kernel has nothing that asks for it. /f holds what a
 * helper with all capabilities laid out: `other`, a file of user 1, and
 * `group`, a file of group 5. Process 1 is user 1's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* linux/fs.h, which says some of what sys/uio.h says. */
#define FS_IOC_SETFLAGS _IOW('f', 2, long)
#define FS_APPEND_FL 0x20

enum { NO, YES, NONE };

/* What a call that needs the right and nothing else came to. */
static int done(long result)
{
    if (result >= 0)
        return YES;
    return errno == EPERM || errno == EACCES ? NO : NONE;
}

/* The same where the kernel says something else once the right was there. */
static int passed(long result, int otherwise)
{
    return result < 0 && errno == otherwise ? YES : done(result);
}

static int file(const char *path, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_CREAT | O_RDWR | O_EXCL, 0600);
    fchmod(fd, mode);
    return fd;
}

static int audit(int type)
{
    struct { struct nlmsghdr head; char text[16]; } say = {{0}};
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[4096]; } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);

    if (fd < 0)
        return NONE;
    say.head.nlmsg_len = sizeof say;
    say.head.nlmsg_type = type;
    say.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    strcpy(say.text, "op=none");
    if (send(fd, &say, sizeof say, 0) < 0)
        return errno == ECONNREFUSED ? NONE : done(-1);
    if (recv(fd, &answer, sizeof answer, 0) < 0 || answer.head.nlmsg_type != NLMSG_ERROR)
        return NONE;
    errno = -answer.error.error;
    return errno ? done(-1) : YES;
}

static int fsetid(void)
{
    struct stat now;

    chmod("/f/group", 02755);
    stat("/f/group", &now);
    chmod("/f/group", 0755);
    return now.st_mode & S_ISGID ? YES : NO;
}

static int immutable(void)
{
    int fd = file("/f/own", 0600), flags = FS_APPEND_FL, none = 0;
    int is = done(ioctl(fd, FS_IOC_SETFLAGS, &flags));

    ioctl(fd, FS_IOC_SETFLAGS, &none);
    return is;
}

static int port(void)
{
    struct sockaddr_in to = {AF_INET, htons(80), {htonl(INADDR_LOOPBACK)}};
    return done(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to));
}

static int net_admin(void)
{
    struct ifreq lo = {{"lo"}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    ioctl(fd, SIOCGIFFLAGS, &lo);
    return done(ioctl(fd, SIOCSIFFLAGS, &lo));
}

static int segment(void)
{
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT);
    int is = done((long)shmat(id, 0, 0));

    shmctl(id, IPC_RMID, 0);
    return is;
}

static int hostname(void)
{
    char name[65];

    gethostname(name, sizeof name);
    return done(sethostname(name, strlen(name)));
}

static int limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max = 4096;
    setrlimit(RLIMIT_CORE, &limit);
    limit.rlim_max = 8192;
    return done(setrlimit(RLIMIT_CORE, &limit));
}

static int clock_tick(void)
{
    struct timex wrong = {.modes = ADJ_TICK, .tick = 1};
    return passed(adjtimex(&wrong), EINVAL);
}

static int file_capability(void)
{
    /* Version 2, CAP_CHOWN permitted. */
    unsigned words[5] = {0x02000000, 1, 0, 0, 0};

    close(file("/f/able", 0700));
    return done(setxattr("/f/able", "security.capability", words, sizeof words, 0));
}

static int wakes(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLWAKEUP};
    char path[64], line[256];
    int poll = epoll_create1(0), ends[2], is = NO;

    if (access("/sys/power/wake_lock", F_OK))
        return NONE;
    pipe(ends);
    epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event);
    sprintf(path, "/proc/self/fdinfo/%d", poll);
    for (FILE *info = fopen(path, "r"); info && fgets(line, sizeof line, info);) {
        unsigned events;
        if (sscanf(line, "tfd: %*d events: %x", &events) == 1 && events & EPOLLWAKEUP)
            is = YES;
    }
    return is;
}

static int audit_group(void)
{
    struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);

    return fd < 0 ? NONE : done(bind(fd, (void *)&group, sizeof group));
}

static int perf(void)
{
    struct perf_event_attr kernel = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof kernel, .config = PERF_COUNT_SW_CPU_CLOCK};
    return done(syscall(SYS_perf_event_open, &kernel, 0, -1, -1, 0));
}

static int map(void)
{
    /* A hash of one byte; type, sizes, entries. */
    unsigned attributes[32] = {1, 1, 1, 1};
    return done(syscall(321, 0, attributes, sizeof attributes));
}

static int chosen_pid(void)
{
    unsigned long long words[11] = {0};
    pid_t pid = 30000;

    words[4] = SIGCHLD;
    words[8] = (unsigned long)&pid;
    words[9] = 1;
    long child = syscall(435, words, 80);
    if (!child)
        _exit(0);
    int is = done(child);
    /* Nobody else may be there to take it away. */
    waitpid(child, 0, 0);
    return is;
}

/* Reads in a process that does not let itself be looked at. */
static int look(void)
{
    char byte = 0;
    struct iovec own = {&byte, 1}, theirs = {(void *)0x1000, 1};
    int ends[2];

    pipe(ends);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        write(ends[1], &byte, 1);
        pause();
    }
    read(ends[0], &byte, 1);
    int is = passed(process_vm_readv(child, &own, 1, &theirs, 1, 0), EFAULT);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    return is;
}

static int node(void)
{
    int is = done(mknod("/f/null", S_IFCHR | 0600, makedev(1, 3)));

    unlink("/f/null");
    return is;
}

static int try(int capability)
{
    char byte;

    switch (capability) {
    case 0: return done(fchown(file("/f/own", 0600), 1, 1));
    case 1: file("/f/own", 0); return done(open("/f/own", O_RDWR));
    case 2: file("/f/own", 0); return done(open("/f/own", O_RDONLY));
    case 3: return done(chmod("/f/other", 0644));
    case 4: return fsetid();
    case 5: return done(kill(1, 0));
    case 6: return done(setgid(5));
    case 7: return done(setuid(5));
    case 8: return done(prctl(PR_CAPBSET_DROP, 0, 0, 0, 0));
    case 9: return immutable();
    case 10: return port();
    case 12: return net_admin();
    case 13: return done(socket(AF_INET, SOCK_RAW, 1));
    case 14: return done(mlock(&byte, 1));
    case 15: return segment();
    case 16: return passed(syscall(SYS_delete_module, "nonesuch", O_NONBLOCK), ENOENT);
    case 17: return done(ioperm(0x80, 1, 1));
    case 18: return done(chroot("/"));
    case 19: return look();
    case 20: return passed(syscall(SYS_acct, "/nonesuch"), ENOENT);
    case 21: return hostname();
    case 22: return passed(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234, 0), EINVAL);
    case 23: return done(setpriority(PRIO_PROCESS, 0, -20));
    case 24: return limit();
    case 25: return clock_tick();
    case 26: return done(vhangup());
    case 27: return node();
    case 28: return done(fcntl(open("/f/other", O_RDONLY), F_SETLEASE, F_RDLCK));
    case 29: return audit(AUDIT_USER);
    case 31: return file_capability();
    case 34: return done(syscall(SYS_syslog, 9, 0, 0));
    case 35: return done(timerfd_create(CLOCK_REALTIME_ALARM, 0));
    case 36: return wakes();
    case 37: return audit_group();
    case 38: return perf();
    case 39: return map();
    case 40: return chosen_pid();
    /* NET_BROADCAST is asked for nowhere, AUDIT_CONTROL heeded in the first
       pid namespace alone, MAC_* by Smack. */
    default: return NONE;
    }
}

int main(int count, char **words)
{
    static const char *const said[] = {"no", "yes", "none"};

    for (int capability = 0; capability <= 40; capability++) {
        int wanted = count == 1, status;

        for (int at = 1; at < count; at++)
            wanted |= atoi(words[at]) == capability;
        if (!wanted)
            continue;
        /* What a trial changes goes with its process. */
        pid_t child = fork();
        if (!child)
            _exit(try(capability));
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
            fprintf(stderr, "trial %d was not made\n", capability);
            return 1;
        }
        printf("%d %s\n", capability, said[WEXITSTATUS(status)]);
    }
    return 0;
}
