//! One tree for three layouts: makes, limits, reads, freezes and removes control groups
