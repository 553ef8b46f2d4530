//! Compiles OCI seccomp rules into a classic BPF program
