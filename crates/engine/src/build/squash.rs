//! `--squash`: one layer in place of all that a build has made.
//!
//! The layers of what the last stage began with stay. History keeps all its
//! entries, those of the build without a layer, and one more has it, in the
//! words of Docker's classic builder.

use super::BuildError;
use crate::error::chain;
use image::{Draft, Making};
use spec::image::History;

/// The image that a build is to come to in place of `draft`.
pub(super) fn squashed(
    making: &Making<'_>,
    base: &Draft,
    draft: &Draft,
) -> Result<Draft, BuildError> {
    let failed =
        |error: image::Error| BuildError::ours(format!("error squashing image: {}", chain(&error)));
    let (below, above) = draft.layers.split_at(base.layers.len());
    let layer = making.merge(below, above).map_err(failed)?;
    let comment = if base.id == Making::nothing() {
        format!("create new from {}", draft.id)
    } else {
        format!("merge {} to {}", draft.id, base.id)
    };
    let mut config = draft.config.clone();
    config.created = Some(image::timestamp());
    for entry in config.history.iter_mut().skip(base.config.history.len()) {
        entry.empty_layer = true;
    }
    config.history.push(History {
        created: config.created.clone(),
        comment: Some(comment),
        empty_layer: layer.is_none(),
        ..History::default()
    });
    let mut layers = below.to_vec();
    layers.extend(layer);
    making.draft(config, layers).map_err(failed)
}
