//! Which ports of the host are spoken for.
