//! Filters, as clients give them: words to accepted values.

use std::collections::BTreeMap;

/// `filters=` of a request, in either of its spellings, already read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);
