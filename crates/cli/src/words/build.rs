//! The flags of `build`, and the words about its cache.

use clap::{Args, Subcommand};

/// What `docker build` takes.
#[allow(clippy::struct_field_names, reason = "Docker's flags")]
#[derive(Debug, Default, Args)]
pub struct Build {
    /// The context: a directory, "-" for standard input, an address, a git repository
    #[arg(value_name = "PATH | URL | -")]
    pub context: String,
    /// Where the Dockerfile is ("-" for standard input)
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// Name and tag of the image
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub tag: Vec<String>,
    /// NAME[=VALUE] for ARG; without a value, the one of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// The stage to build
    #[arg(long, default_value = "", hide_default_value = true)]
    pub target: String,
    /// Take nothing from the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Ask registries for newer images
    #[arg(long)]
    pub pull: bool,
    /// Images whose steps may serve as a cache
    #[arg(long, value_name = "IMAGE")]
    pub cache_from: Vec<String>,
    /// Network of RUN
    #[arg(long, default_value = "", hide_default_value = true)]
    pub network: String,
    /// NAME:ADDRESS for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
    /// Print the image's identifier alone, when all is done
    #[arg(short, long)]
    pub quiet: bool,
    /// Write the image's identifier to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<String>,
    /// auto or plain: there is one kind of progress
    #[arg(long, default_value = "auto", hide_default_value = true)]
    pub progress: String,
    /// A secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "WORDS")]
    pub secret: Vec<String>,
    /// Write the files instead: DIR, type=local,dest=DIR or type=tar,dest=FILE
    #[arg(short, long, value_name = "WORDS")]
    pub output: Vec<String>,
    /// Remove containers of steps when all is done
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true)]
    pub rm: bool,
    /// Remove the container of a step that failed, too
    #[arg(long)]
    pub force_rm: bool,
    /// One layer above the base
    #[arg(long)]
    pub squash: bool,
    /// Memory of RUN, e.g. 512m
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Memory and swap together; -1 without limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Microseconds of a period
    #[arg(long, value_name = "USEC")]
    pub cpu_period: Option<i64>,
    /// Microseconds in a period
    #[arg(long, value_name = "USEC")]
    pub cpu_quota: Option<i64>,
    /// Relative weight of CPU time
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    pub cpu_shares: Option<i64>,
    /// Which CPUs, e.g. 0-3,7
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub cpuset_cpus: String,
    /// Which memory nodes
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub cpuset_mems: String,
    /// Parent of the control groups
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub cgroup_parent: String,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// NAME=SOFT[:HARD]
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
}

/// Words about building.
#[derive(Debug, Subcommand)]
pub enum Builder {
    /// Build an image from a Dockerfile
    Build(super::Later<Build>),
    /// Remove what earlier builds left for later ones
    Prune(BuilderPrune),
}

/// What `docker builder prune` takes.
#[derive(Debug, Args)]
pub struct BuilderPrune {
    /// Also what images have, too
    #[arg(short, long)]
    pub all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// KEY=VALUE
    #[arg(long)]
    pub filter: Vec<String>,
    /// How much may stay
    #[arg(long, value_name = "BYTES", alias = "keep-storage")]
    pub reserved_space: Option<String>,
}
