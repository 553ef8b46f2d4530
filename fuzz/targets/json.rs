//! Other inputs for a target that reads JSON. Changed byte by byte, nearly all
//! of them are no JSON and tell nothing of what is behind its reader; here a
//! value is another, goes, comes or stands twice, and what comes of it is JSON
//! still. Every other time the bytes are changed all the same.

use serde_json::{Map, Value, json};

/// Names that documents of images have.
const KEYS: [&str; 40] = [
    "architecture",
    "variant",
    "os",
    "os.version",
    "os.features",
    "author",
    "created",
    "comment",
    "docker_version",
    "container",
    "config",
    "rootfs",
    "type",
    "diff_ids",
    "history",
    "created_by",
    "empty_layer",
    "Env",
    "Cmd",
    "Entrypoint",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "Healthcheck",
    "Interval",
    "User",
    "OnBuild",
    "Shell",
    "schemaVersion",
    "mediaType",
    "manifests",
    "platform",
    "layers",
    "annotations",
    "artifactType",
    "subject",
    "digest",
    "size",
    "urls",
    "fsLayers",
];

/// A new input in place of the one in `data[..size]`, of whose first `head`
/// bytes are none of the JSON; gives its size.
pub fn other(data: &mut [u8], size: usize, most: usize, seed: u32, head: usize) -> usize {
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    let value = data.get(head..size).and_then(|text| serde_json::from_slice(text).ok());
    let Some(mut value) = value.filter(|_| dice.below(2) == 0) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    };
    for _ in 0..=dice.below(3) {
        change(&mut value, &mut dice);
    }
    let text = value.to_string();
    let end = head + text.len();
    if end > most {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    data[head..end].copy_from_slice(text.as_bytes());
    end
}

/// Changes one value, somewhere.
fn change(value: &mut Value, dice: &mut Dice) {
    let inside = match value {
        Value::Object(map) if !map.is_empty() && dice.below(4) > 0 => {
            let at = dice.below(map.len());
            map.values_mut().nth(at)
        }
        Value::Array(list) if !list.is_empty() && dice.below(4) > 0 => {
            let at = dice.below(list.len());
            list.get_mut(at)
        }
        _ => None,
    };
    if let Some(inside) = inside {
        return change(inside, dice);
    }
    match value {
        Value::Object(map) if dice.below(4) > 0 => members(map, dice),
        Value::Array(list) if dice.below(4) > 0 => {
            let at = dice.below(list.len() + 1);
            match list.get(at).cloned() {
                Some(one) if dice.below(2) == 0 => list.push(one),
                Some(_) => drop(list.remove(at)),
                None => list.push(simple(dice)),
            }
        }
        Value::String(text) if dice.below(2) == 0 => {
            let keep = dice.below(text.chars().count() + 1);
            *text = text.chars().take(keep).collect();
        }
        _ => *value = simple(dice),
    }
}

fn members(map: &mut Map<String, Value>, dice: &mut Dice) {
    let name = map.keys().nth(dice.below(map.len() + 1)).cloned();
    match name {
        Some(name) if dice.below(2) == 0 => {
            map.remove(&name);
        }
        _ => {
            let name = KEYS[dice.below(KEYS.len())];
            map.insert(name.into(), simple(dice));
        }
    }
}

fn simple(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => json!(dice.below(3)),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(""),
        5 => json!("x"),
        6 => json!([]),
        7 => json!({}),
        _ => json!(true),
    }
}

/// Xorshift: the same for everybody.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % end.max(1)
    }
}
