//! The verbs and the life of a container.
//!
//! [`Engine`] is what a client may ask for, as plain blocking calls on plain
//! structs; `api` turns them into the Docker Engine HTTP API. It is the only
//! room that knows all of the middle floor: `policy` decides, `image`,
//! `snapshot`, `network` and `cgroup` prepare, a monitor per container does.
//!
//! # A container's life
//!
//! ```text
//!   create          start            (the program ends)          rm
//!     |               |                      |                    |
//!  Created --> Starting --> Running ----> Exited --> ... --> Removing --> gone
//!                             |  ^           |  ^
//!                       pause v  | unpause   v  | (restart policy)
//!                            Paused       Restarting
//! ```
//!
//! Its record is written before anything in the kernel or on disk bears its
//! id, and goes after all of that is gone: what no record names is rubbish,
//! and [swept](Engine::open) at the next start.
//!
//! # One owner
//!
//! A container is changed under its own lock; readers get the last published
//! [`Container`] and never wait, so one that is stuck blocks nobody else.
//!
//! # Waiting without threads
//!
//! What has to be waited for (an exit, a start, an event) takes a callback,
//! which must not block; it is dropped uncalled when there will never be
//! anything to say.

mod age;
mod apparmor;
mod archive;
mod asked;
mod audit;
mod build;
mod cell;
mod check;
mod clock;
mod collect;
mod collect_order;
mod container;
mod create;
mod devices;
mod disk;
mod dns;
mod doctor;
mod egress;
mod ending;
mod error;
mod events;
mod exec;
mod facts;
mod files;
mod filter;
mod foreign;
mod graft;
mod guise;
mod health;
mod host;
mod house;
mod image_tree;
mod images;
mod links;
mod logs;
mod meter;
mod metrics;
mod migrate;
mod names;
mod networks;
mod open;
mod options;
mod places;
mod ports;
mod publish;
mod random;
mod recover;
mod registries;
mod relabel;
mod resolv;
mod restart;
mod roster;
mod selinux;
mod services;
mod signals;
mod sockets;
mod start;
mod state;
mod stats;
mod store;
mod top;
mod undo;
mod usage;
mod verbs;
mod verdict;
mod view;
mod volumes;
mod watcher;
mod why;
mod wish;
mod workers;

pub use archive::{Archive, Change, ChangeKind, PathStat, PutOptions};
pub use audit::{Audit, Row};
pub use build::{
    BuildClient, BuildContext, BuildError, BuildManner, BuildRoom, BuildSaid, BuildWish, Built,
    CacheEntry, CacheKeep, CachePruned, Cancel, NamedBuild, StagePlan, StepPlan, choose_cache,
};
pub use cell::Attaching;
pub use cgroup::{Gauge, IoEntry, Pressure, Stall, Stalls};
pub use collect::{Collected, Watermarks};
pub use container::{Attach, Condition, Container, Created, Last, MountPoint, Quota, Size, Waited};
pub use denials::{Layer, Record, Verdict};
pub use doctor::{Severity, Symptom};
pub use error::{Error, Kind};
pub use events::{Event, Subscription};
pub use exec::{Exec, ExecWish};
pub use facts::Facts;
pub use filter::Filters;
pub use graft::MountsWish;
pub use health::{Health, HealthStatus, Probe};
pub use image::{Check, Checked, Finding, Mend};
pub use image_tree::ImageTree;
pub use images::{CommitWish, Deleted, HistoryItem, ImageDetail, ImageSummary, ImportWish, Pruned};
pub use logs::{EndLogs, LogLine, LogWish, Logs, Stream};
pub use meter::{BOUNDS, Counts, Durations};
pub use metrics::{Daemon, Measured, Whole};
pub use migrate::{MigrateWish, Migrated, Outcome};
pub use networks::{Network, NetworkMember, NetworkPool, NetworkWish};
pub use options::Options;
pub use policy::{LOG_DRIVERS, check_log};
pub use publish::PortsWish;
pub use registries::PullWish;
pub use registry::{Credentials, Found, Hit, Said};
pub use sockets::ScopedSocket;
pub use state::State;
pub use stats::{Interface, Stats};
pub use usage::{DiskUsage, LabelsWish, Top, UpdateWish};
pub use volumes::{Volume, VolumeWish};
pub use why::{Denial, Looking, Why};

/// Nanoseconds since the epoch; 0 for "never".
pub type Nanos = u64;

/// A running engine. Cloning is cheap and gives the same engine.
#[derive(Clone)]
pub struct Engine(std::sync::Arc<house::House>);
