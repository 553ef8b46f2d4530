//! The JSON form of arguments.

use crate::error::Why;
use serde_json::Value;

/// The strings of a JSON array; none if it is no array, which is then words
/// for a shell.
pub(crate) fn strings(text: &str) -> Option<Result<Vec<String>, Why>> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return None;
    }
    let values: Vec<Value> = serde_json::from_str(text).ok()?;
    Some(
        values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(Why::NotStrings),
            })
            .collect(),
    )
}
