//! Typed calls to the kernel that rustix lacks: the only unsafe code
