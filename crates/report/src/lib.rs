//! The isolation report: a small static program that tries to get out and prints what the kernel answered
