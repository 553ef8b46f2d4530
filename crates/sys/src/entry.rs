//! Where `cofferdam-run` begins: ahead of the C library.
//!
//! A runtime executes itself once more, through a read-only mount (see
//! `protect_self` in `runtime`). The C library asks the processor some
//! seventy questions (`cpuid`) at each start, and under a hypervisor each
//! takes 6 µs or more: half a millisecond for a start that does nothing but
//! start again. So this entry does it first, in seven system calls, if one of
//! the words is `create`, `run` or `exec`.
//!
//! It is a short cut and nothing rests on it: whatever the kernel refuses, the
//! program starts as usual, and `protect_self` does the same or says why not.
//! One start too many, for a word that only looks like a verb, is harmless.
//!
//! `build.rs` of `cofferdam-run` names it to the linker.

// What the C library's own `_start` expects is kept: the stack as the kernel
// left it (argc, argv, 0, envp, 0) in r12, and rdx in r13. Nothing is called
// and no memory but 128 bytes of the stack is written to, so that it does not
// matter that the program has not been relocated yet.
//
// Sources: the System V ABI for the stack; open_tree(2), mount_setattr(2),
// execveat(2); `struct statfs` has f_flags at 80 and ST_RDONLY is 1.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl cofferdam_entry",
    ".type cofferdam_entry, @function",
    "cofferdam_entry:",
    "mov r12, rsp",
    "mov r13, rdx",
    "mov rbx, [r12]",
    "xor ecx, ecx",
    // Is one of the words a verb that needs it?
    "2:",
    "inc rcx",
    "cmp rcx, rbx",
    "jae 9f",
    "mov rsi, [r12 + 8 + rcx * 8]",
    "mov eax, [rsi]",
    "cmp eax, 0x006e7572", // "run" and its end
    "je 3f",
    "cmp eax, 0x61657263", // "crea"
    "je 3f",
    "cmp eax, 0x63657865", // "exec"
    "jne 2b",
    // openat(AT_FDCWD, "/proc/self/exe", O_PATH | O_CLOEXEC)
    "3:",
    "mov eax, 257",
    "mov edi, -100",
    "lea rsi, [rip + 7f]",
    "mov edx, 0x280000",
    "xor r10d, r10d",
    "syscall",
    "test eax, eax",
    "js 9f",
    "mov ebp, eax",
    // fstatfs: from a read-only mount it may go on.
    "sub rsp, 128",
    "mov eax, 138",
    "mov edi, ebp",
    "mov rsi, rsp",
    "syscall",
    "test eax, eax",
    "js 4f",
    "test byte ptr [rsp + 80], 1",
    "jnz 4f",
    // open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
    "mov eax, 428",
    "mov edi, ebp",
    "lea rsi, [rip + 8f]",
    "mov edx, 0x81001",
    "syscall",
    "test eax, eax",
    "js 4f",
    "mov r14d, eax",
    // mount_setattr(tree, "", AT_EMPTY_PATH, {set: MOUNT_ATTR_RDONLY}, 32)
    "mov qword ptr [rsp], 1",
    "mov qword ptr [rsp + 8], 0",
    "mov qword ptr [rsp + 16], 0",
    "mov qword ptr [rsp + 24], 0",
    "mov eax, 442",
    "mov edi, r14d",
    "lea rsi, [rip + 8f]",
    "mov edx, 0x1000",
    "mov r10, rsp",
    "mov r8d, 32",
    "syscall",
    "test eax, eax",
    "js 5f",
    // execveat(tree, "", argv, envp, AT_EMPTY_PATH): returns only to refuse.
    "mov eax, 322",
    "mov edi, r14d",
    "lea rsi, [rip + 8f]",
    "lea rdx, [r12 + 8]",
    "lea r10, [r12 + rbx * 8 + 16]",
    "mov r8d, 0x1000",
    "syscall",
    "5:",
    "mov eax, 3",
    "mov edi, r14d",
    "syscall",
    "4:",
    "mov eax, 3",
    "mov edi, ebp",
    "syscall",
    // As if nothing had been.
    "9:",
    "mov rsp, r12",
    "mov rdx, r13",
    "xor ebp, ebp",
    "jmp _start",
    "7: .asciz \"/proc/self/exe\"",
    "8: .byte 0",
    ".size cofferdam_entry, . - cofferdam_entry",
);
