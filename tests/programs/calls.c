/*
 * What the filter answers to every system call, made by nobody: a second
 * filter of our own asks a tracer about each call that the first one lets
 * through, and the tracer has it skipped. An answer of the first comes
 * before (seccomp(2)), and none of them changes anything.
 *
 * Prints, for each of the ways into an x86 kernel, the numbers by answer:
 *
 *     x86_64 through 0-133 135 ...
 *     x86_64 1 134 136 ...
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 1024
#define THROUGH 4000
#define X32 0x40000000
/* No filter sees these: only the kernel's own trampolines may make them. */
#define URETPROBE 335
#define UPROBE 336

enum way { WAY_64, WAY_X32, WAY_32, WAYS };
static const char *const names[] = {"x86_64", "x32", "i386"};

/* The answer to a call whose arguments are all zero. */
static long call(enum way way, unsigned number)
{
    long answer = way == WAY_X32 ? (X32 | number) : number;

    /* As words: not every assembler knows the interrupt's other names. */
    if (way == WAY_32)
        __asm__ volatile("xor %%ebx, %%ebx\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n"
                         "xor %%esi, %%esi\n xor %%edi, %%edi\n int $0x80"
                         : "+a"(answer)
                         :
                         : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    else
        __asm__ volatile("xor %%edi, %%edi\n xor %%esi, %%esi\n xor %%edx, %%edx\n syscall"
                         : "+a"(answer)
                         :
                         : "rdi", "rsi", "rdx", "rcx", "r11", "memory");
    return -(int)answer;
}

static void asked(int *answers)
{
    struct sock_filter trace = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE};
    struct sock_fprog filter = {1, &trace};

    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0))
        _exit(1);
    for (int way = 0; way < WAYS; way++)
        for (int number = 0; number < CALLS; number++)
            if (way != WAY_64 || (number != URETPROBE && number != UPROBE))
                answers[way * CALLS + number] = call(way, number);
    __asm__ volatile("int3");
}

/* Has each call skipped; 0 when all were made. */
static int trace(pid_t child)
{
    struct user_regs_struct regs;
    int status;

    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        int what = status >> 8;

        if (what == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            ptrace(PTRACE_GETREGS, child, 0, &regs);
            regs.orig_rax = -1;
            regs.rax = -THROUGH;
            ptrace(PTRACE_SETREGS, child, 0, &regs);
        } else if (what == SIGSTOP) {
            ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
        } else if (what == SIGTRAP) {
            kill(child, SIGKILL);
            return 0;
        } else {
            fprintf(stderr, "stopped by signal %d\n", what);
            kill(child, SIGKILL);
            return 1;
        }
        ptrace(PTRACE_CONT, child, 0, 0);
    }
    fprintf(stderr, "ended by status %x\n", status);
    return 1;
}

static void say(const char *name, const int *answers, int answer)
{
    int any = 0;

    for (int from = 0; from < CALLS; from++) {
        int to = from;

        if (answers[from] != answer)
            continue;
        while (to + 1 < CALLS && answers[to + 1] == answer)
            to++;
        if (!any++) {
            if (answer == THROUGH)
                printf("%s through", name);
            else
                printf("%s %d", name, answer);
        }
        printf(from == to ? " %d" : " %d-%d", from, to);
        from = to;
    }
    if (any)
        printf("\n");
}

int main(void)
{
    size_t size = WAYS * CALLS * sizeof(int);
    int *answers = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;

    if (answers == MAP_FAILED || (child = fork()) < 0)
        return 1;
    if (!child)
        asked(answers);
    if (trace(child))
        return 1;
    for (int way = 0; way < WAYS; way++)
        for (int answer = -1; answer <= THROUGH; answer++)
            say(names[way], answers + way * CALLS, answer);
    return 0;
}
