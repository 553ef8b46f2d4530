//! A body of `POST /containers/create`, with its ports apart.
//!
//! A range of ten thousand ports has an entry for each, twice. As a tree of
//! values they would take twenty megabytes; here each entry is read, joins the
//! run that it is part of, and is gone.

use crate::fold::Fold;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use spec::ports::{Bindings, PortMap, PortSet};
use std::fmt;

const EXPOSED: &str = "ExposedPorts";
const HOST: &str = "HostConfig";
const BOUND: &str = "PortBindings";

/// The body: what stands at the ports' places in `rest` is null.
#[derive(Debug, Default)]
pub struct Lean {
    /// Null, or an object.
    pub rest: Value,
    /// `ExposedPorts`.
    pub exposed: PortSet,
    /// `HostConfig.PortBindings`.
    pub bound: PortMap,
}

/// What is named by several keys: what is spelt right counts, else the last.
#[derive(Default)]
struct Pick<T> {
    value: T,
    right: bool,
}

impl<T> Pick<T> {
    fn put(&mut self, right: bool, value: T) {
        if right || !self.right {
            *self = Self { value, right };
        }
    }
}

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Body;
        impl<'de> Visitor<'de> for Body {
            type Value = Lean;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("struct Config")
            }

            fn visit_unit<E>(self) -> Result<Lean, E> {
                Ok(Lean::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Lean, A::Error> {
                let mut rest = Map::new();
                let (mut exposed, mut bound) = (Pick::default(), Pick::default());
                while let Some(key) = all.next_key::<String>()? {
                    let value = if key.eq_ignore_ascii_case(EXPOSED) {
                        let ports = all.next_value::<Option<PortSet>>()?;
                        exposed.put(key == EXPOSED, ports.unwrap_or_default());
                        Value::Null
                    } else if key.eq_ignore_ascii_case(HOST) {
                        let host = all.next_value::<Option<LeanHost>>()?.unwrap_or_default();
                        bound.put(key == HOST, host.bound);
                        host.rest
                    } else {
                        all.next_value()?
                    };
                    rest.insert(key, value);
                }
                Ok(Lean { rest: rest.into(), exposed: exposed.value, bound: bound.value })
            }
        }
        from.deserialize_any(Body)
    }
}

/// `HostConfig` likewise.
#[derive(Default)]
struct LeanHost {
    rest: Value,
    bound: PortMap,
}

impl<'de> Deserialize<'de> for LeanHost {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Host;
        impl<'de> Visitor<'de> for Host {
            type Value = LeanHost;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("struct HostConfig")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<LeanHost, A::Error> {
                let (mut rest, mut bound) = (Map::new(), Pick::default());
                while let Some(key) = all.next_key::<String>()? {
                    let value = if key.eq_ignore_ascii_case(BOUND) {
                        let ports = all.next_value::<Option<Bound>>()?;
                        bound.put(key == BOUND, ports.map(|ports| ports.0).unwrap_or_default());
                        Value::Null
                    } else {
                        all.next_value()?
                    };
                    rest.insert(key, value);
                }
                Ok(LeanHost { rest: rest.into(), bound: bound.value })
            }
        }
        from.deserialize_map(Host)
    }
}

/// Bindings, whose fields are named in any case.
struct Bound(PortMap);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Ports;
        impl<'de> Visitor<'de> for Ports {
            type Value = Bound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Bound, A::Error> {
                let mut map = PortMap::new();
                while let Some((key, value)) = all.next_entry::<String, Value>()? {
                    let bindings = Bindings::deserialize(Fold(value)).map_err(A::Error::custom)?;
                    map.insert(&key, bindings);
                }
                Ok(Bound(map))
            }
        }
        from.deserialize_map(Ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Lean {
        serde_json::from_value(body).expect("fits")
    }

    #[test]
    fn ports_are_taken_out_of_their_places() {
        let lean = read(json!({
            "Image": "a", "exposedports": {"80/tcp": {}, "81/tcp": {}},
            "hostConfig": {"portBindings": {"80/tcp": [{"hostport": "8080"}], "81/tcp": null}},
        }));
        let rest =
            json!({"Image": "a", "exposedports": null, "hostConfig": {"portBindings": null}});
        assert_eq!(lean.rest, rest);
        assert!(lean.exposed.contains("80/tcp") && lean.exposed.len() == 2);
        assert_eq!((lean.bound.len(), lean.bound.bindings()), (2, 1));
    }

    #[test]
    fn of_two_spellings_the_right_one_counts() {
        let lean = read(json!({
            "EXPOSEDPORTS": {"1/tcp": {}}, "ExposedPorts": {"2/tcp": {}}, "exposedPorts": {},
            "HostConfig": null, "hostconfig": {"PortBindings": {"3/tcp": null}},
        }));
        assert!(lean.exposed.contains("2/tcp") && lean.bound.is_empty());
    }

    #[test]
    fn nothing_is_nothing_and_nonsense_is_refused() {
        assert!(read(Value::Null).rest.is_null());
        for (body, words) in [
            (json!([]), "invalid type: sequence, expected struct Config"),
            (json!({"HostConfig": 1}), "invalid type: integer `1`, expected struct HostConfig"),
            (json!({"ExposedPorts": ["80"]}), "invalid type: sequence, expected ports"),
            (json!({"HostConfig": {"PortBindings": {"80": 1}}}), "invalid type: integer `1`"),
            // The form of records is not a client's.
            (json!({"HostConfig": {"PortBindings": [[], {}]}}), "invalid type: sequence"),
        ] {
            let error = serde_json::from_value::<Lean>(body).expect_err(words).to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
