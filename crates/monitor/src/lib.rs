//! Watches one container: stdio, log, attach, exec and the exit record

mod log;
