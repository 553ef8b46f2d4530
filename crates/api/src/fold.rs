//! JSON into Rust as Go reads it: the name of a structure's field may be in
//! any case. The keys of maps (labels, ports) mean what they say.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// A value to be read so.
pub struct Fold(pub Value);

impl IntoDeserializer<'_, Error> for Fold {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Gives the keys their fields' own spelling. What is spelt right counts.
fn named(map: Map<String, Value>, fields: &[&'static str]) -> Map<String, Value> {
    let (mut right, mut others) = (Map::new(), Vec::new());
    for (key, value) in map {
        if fields.contains(&key.as_str()) {
            right.insert(key, value);
        } else {
            others.push((key, value));
        }
    }
    for (key, value) in others {
        let field = fields.iter().find(|field| field.eq_ignore_ascii_case(&key));
        right.entry(field.map_or(key, |field| (*field).to_owned())).or_insert(value);
    }
    right
}

impl<'de> Deserializer<'de> for Fold {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(list) => {
                visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Fold)))
            }
            Value::Object(map) => {
                let pairs = map.into_iter().map(|(key, value)| (key, Fold(value)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => Self(named(map, fields).into()).deserialize_any(visitor),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase", default)]
    struct Wish {
        image: String,
        labels: BTreeMap<String, String>,
        inner: Vec<Inner>,
        limit: Option<i64>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase", default)]
    struct Inner {
        path_on_host: String,
    }

    fn read(value: Value) -> Wish {
        Wish::deserialize(Fold(value)).expect("fits")
    }

    #[test]
    fn fields_are_found_in_any_case_however_deep() {
        let found = read(json!({"image": "a", "INNER": [{"pathonhost": "/x"}], "limit": 7}));
        assert_eq!(found.image, "a");
        assert_eq!(found.inner, [Inner { path_on_host: "/x".into() }]);
        assert_eq!(found.limit, Some(7));
        assert_eq!(read(json!({"Limit": null, "unknown": 1})).limit, None);
    }

    #[test]
    fn keys_of_maps_mean_what_they_say() {
        let found = read(json!({"labels": {"Image": "a", "image": "b"}}));
        assert_eq!(found.labels.len(), 2);
    }

    #[test]
    fn what_is_spelt_right_counts() {
        assert_eq!(read(json!({"IMAGE": "a", "Image": "b", "image": "c"})).image, "b");
    }
}
