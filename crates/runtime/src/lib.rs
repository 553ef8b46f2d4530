//! Applies a Sandbox to a new process
