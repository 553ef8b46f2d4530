//! Words about images and registries.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Images {
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub reference: Option<String>,
    /// Also those that only carry others
    #[arg(short, long)]
    pub all: bool,
    /// With digests
    #[arg(long)]
    pub digests: bool,
    /// KEY=VALUE
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Whole identifiers
    #[arg(long)]
    pub no_trunc: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// A tar archive, or - for the input
    #[arg(value_name = "FILE")]
    pub file: String,
    #[arg(value_name = "REPOSITORY[:TAG]", default_value = "", hide_default_value = true)]
    pub image: String,
    /// An instruction as in a Dockerfile
    #[arg(short, long)]
    pub change: Vec<String>,
    /// Why
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub message: String,
    /// OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
}

#[derive(Debug, Args)]
pub struct Load {
    /// A file instead of the input
    #[arg(short, long)]
    pub input: Option<String>,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Save {
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// A file instead of the output
    #[arg(short, long)]
    pub output: Option<String>,
}

#[derive(Debug, Default, Args)]
pub struct Push {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Login {
    /// HOST[:PORT]; Docker Hub if none
    #[arg(value_name = "REGISTRY", default_value = "", hide_default_value = true)]
    pub server: String,
    #[arg(short, long)]
    pub username: Option<String>,
    /// Others can see it: better is --password-stdin
    #[arg(short, long)]
    pub password: Option<String>,
    /// Read the password from the input
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Logout {
    /// HOST[:PORT]; Docker Hub if none
    #[arg(value_name = "REGISTRY", default_value = "", hide_default_value = true)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Search {
    /// [REGISTRY/]WORD
    pub term: String,
    /// Results at most
    #[arg(long, default_value_t = 25)]
    pub limit: u32,
    /// KEY=VALUE (is-official, stars)
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Whole descriptions
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Show the manifest or index as it is
    Inspect {
        #[arg(value_name = "IMAGE")]
        image: String,
    },
}

#[derive(Debug, Args)]
pub struct Referrers {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Of this kind alone, as application/spdx+json
    #[arg(long, default_value = "", hide_default_value = true)]
    pub artifact_type: String,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct Pull {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
    /// OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
}

#[derive(Debug, Args)]
pub struct Tag {
    #[arg(value_name = "IMAGE")]
    pub source: String,
    #[arg(value_name = "NEW-IMAGE")]
    pub target: String,
}

#[derive(Debug, Args)]
pub struct Rmi {
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Also if stopped containers use it
    #[arg(short, long)]
    pub force: bool,
    /// Keep untagged parents
    #[arg(long)]
    pub no_prune: bool,
}

#[derive(Debug, Args)]
pub struct History {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Sizes and times for people
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub human: bool,
    /// Whole texts
    #[arg(long)]
    pub no_trunc: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
}
