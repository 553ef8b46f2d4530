//! The image's configuration and the request's become one.

use spec::docker::Config;

/// Folds the image's configuration into what was asked for, by Docker's
/// rules.
pub fn merge(_image: &Config, _request: &Config) -> Config {
    todo!()
}
