//! cofferdamd.

fn main() {}
