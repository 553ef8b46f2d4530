//! cofferdam-run.

fn main() {}
