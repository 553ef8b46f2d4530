//! The command line: words to HTTP and back
