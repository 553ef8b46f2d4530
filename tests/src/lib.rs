//! The harness of the promises.
