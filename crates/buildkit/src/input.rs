//! What one build came to, as what another begins with: `contexts: {x =
//! "target:y"}` of Bake, `additional_contexts: {x: "service:y"}` of Compose.
//!
//! The client takes the low-level definition of the first result and hands it
//! in with the second build. Ours is a source and what ends a definition: the
//! source's name is the image's id, and nobody else reads it.

use crate::grpc::{Code, Status};
use crate::proto::{Definition, Op, OpInput, OpMetadata, SourceOp};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// What an image's id stands behind in a source's name.
const SCHEME: &str = "cofferdam-image://";
/// What a named context's value begins with that was handed in.
const INPUT: &str = "input:";

/// The definition that stands for an image.
pub fn definition(id: &str) -> Definition {
    let source = SourceOp { identifier: format!("{SCHEME}{id}") };
    let source = Op { inputs: Vec::new(), source: Some(source) }.encode_to_vec();
    let digest = spec::Digest::from_sha256(Sha256::digest(&source).into()).to_string();
    let end = Op { inputs: vec![OpInput { digest: digest.clone(), index: 0 }], source: None };
    // Clients take a definition that says nothing of its parts for none.
    let metadata = HashMap::from([(digest, OpMetadata {})]);
    Definition { def: vec![source, end.encode_to_vec()], metadata }
}

/// The image that a definition stands for, if it is one of ours.
fn image(definition: &Definition) -> Option<String> {
    definition.def.iter().find_map(|part| {
        let source = Op::decode(part.as_slice()).ok()?.source?;
        Some(source.identifier.strip_prefix(SCHEME)?.to_owned())
    })
}

/// Puts images in the place of contexts that were handed in.
///
/// # Errors
/// One is missing, or somebody else's definition.
pub fn resolve(
    contexts: &mut [(String, String)],
    inputs: &HashMap<String, Definition>,
) -> Result<(), Status> {
    for (name, value) in contexts {
        let Some(key) = value.strip_prefix(INPUT) else { continue };
        let definition = inputs.get(key).ok_or_else(|| {
            let words = format!("the build context {name}={value} was not handed in");
            Status::new(Code::InvalidArgument, words)
        })?;
        let id = image(definition).ok_or_else(|| {
            let words = format!(
                "the build context {name} is a low-level definition of its own, which is not \
                 carried by this engine: results of its own builds are"
            );
            Status::new(Code::Unimplemented, words)
        })?;
        *value = format!("docker-image://{id}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(value: &str, inputs: &HashMap<String, Definition>) -> Result<String, String> {
        let mut contexts = [("x".to_owned(), value.to_owned())];
        resolve(&mut contexts, inputs).map_err(|status| status.message)?;
        let [(_, value)] = contexts;
        Ok(value)
    }

    #[test]
    fn a_result_is_found_again_in_its_definition() {
        let id = format!("sha256:{}", "a".repeat(64));
        let own = definition(&id);
        let end = Op::decode(own.def[1].as_slice()).expect("an end");
        assert!(own.metadata.contains_key(&end.inputs[0].digest), "it names the source");
        let other =
            Op { inputs: Vec::new(), source: Some(SourceOp { identifier: "git://x".into() }) };
        let other = Definition { def: vec![other.encode_to_vec()], ..Definition::default() };
        let inputs = HashMap::from([("own".to_owned(), own), ("other".to_owned(), other)]);
        assert_eq!(resolved("input:own", &inputs), Ok(format!("docker-image://{id}")));
        assert_eq!(resolved("local:own", &inputs), Ok("local:own".into()));
        assert!(resolved("input:other", &inputs).is_err_and(|words| words.contains("not carried")));
        assert!(
            resolved("input:none", &inputs).is_err_and(|words| words.contains("not handed in"))
        );
    }
}
