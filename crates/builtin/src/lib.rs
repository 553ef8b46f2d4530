//! The built-in image's one program, carried inside the daemon.
//!
//! So that the first container needs no registry: `build.rs` compiles the
//! crate `report` as a static program of its own and its bytes are part of
//! whoever links this crate.

/// The isolation report: a static ELF executable for this architecture.
pub const REPORT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/report"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_is_a_static_executable() {
        assert_eq!(&super::REPORT[..4], b"\x7fELF");
        let interpreter = b"/lib64/ld-linux";
        assert!(!super::REPORT.windows(interpreter.len()).any(|bytes| bytes == interpreter));
    }
}
