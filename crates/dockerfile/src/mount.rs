//! `RUN --mount=`: fields apart by commas, read in two steps. What other
//! stages it needs is known at once; all else may hold variables.

use crate::{
    Held, Mount, MountKind, MountText, Sharing,
    error::{Why, WordError, near},
    words::Words,
};

const KINDS: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const KEYS: [&str; 18] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
];

/// The first step.
pub(crate) fn text(text: String) -> Result<MountText, Why> {
    let mut from = None;
    for field in fields(&text)? {
        match field.split_once('=') {
            None => {
                let key = field.to_ascii_lowercase();
                if !matches!(key.as_str(), "readonly" | "ro" | "readwrite" | "rw" | "required") {
                    return Err(Why::MountField(field));
                }
            }
            Some((key, value)) if key.eq_ignore_ascii_case("from") => {
                // A lone `$` at the end is a letter.
                if value.find('$').is_some_and(|at| at + 1 < value.len()) {
                    return Err(Why::MountFrom);
                }
                from = Some(value.to_owned()).filter(|from| !from.is_empty());
            }
            Some(_) => {}
        }
    }
    Ok(MountText { text, from })
}

impl MountText {
    /// The second step: the mount, its variables put in.
    ///
    /// # Errors
    /// A field that is unknown, has no such value, or does not go with the
    /// mount's type.
    pub fn read(&self, words: &Words) -> Result<Mount, Why> {
        let mut said = Said::default();
        for field in fields(&self.text)? {
            said.field(&field, words)?;
        }
        said.mount()
    }
}

/// All that was said, before it is known to go together.
#[derive(Default)]
struct Said {
    kind: Option<&'static str>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    required: bool,
    id: Option<String>,
    env: Option<String>,
    sharing: Option<Sharing>,
    size: u64,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Said {
    fn kind(&self) -> &'static str {
        self.kind.unwrap_or("bind")
    }

    /// A key that only these kinds have.
    fn only(&self, key: &str, kinds: &[&str]) -> Result<(), Why> {
        if kinds.contains(&self.kind()) {
            return Ok(());
        }
        Err(Why::MountKeyOf { key: key.into(), kind: self.kind() })
    }

    fn field(&mut self, field: &str, words: &Words) -> Result<(), Why> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let Some(value) = value else {
            match key.as_str() {
                "readonly" | "ro" => self.read_only = Some(true),
                "readwrite" | "rw" => self.read_only = Some(false),
                "required" => {
                    self.only(&key, &["secret", "ssh"])?;
                    self.required = true;
                }
                _ => return Err(Why::MountField(field.into())),
            }
            return Ok(());
        };
        let value = word(words, value)?;
        let some = |value: String| Some(value).filter(|value| !value.is_empty());
        let wrong =
            |key: &str, value: &str| Why::MountValue { key: key.into(), value: value.into() };
        let number = |key: &'static str, value: &str, base| {
            u32::from_str_radix(value, base)
                .map(Some)
                .map_err(|_| Why::MountNumber { key, value: value.into() })
        };
        match key.as_str() {
            "type" => {
                let lower = value.to_ascii_lowercase();
                let Some(kind) = KINDS.into_iter().find(|kind| **kind == lower) else {
                    let near = near(&value, &KINDS);
                    return Err(Why::MountType(value, near));
                };
                self.kind = Some(kind);
            }
            "from" => self.from = some(value),
            "source" | "src" => self.source = some(value),
            "target" | "dst" | "destination" => self.target = some(value),
            "readonly" | "ro" => {
                self.read_only = Some(truth(&value).ok_or_else(|| wrong(&key, &value))?);
            }
            "readwrite" | "rw" => {
                self.read_only = Some(!truth(&value).ok_or_else(|| wrong(&key, &value))?);
            }
            "required" => {
                self.only(&key, &["secret", "ssh"])?;
                self.required = truth(&value).ok_or_else(|| wrong(&key, &value))?;
            }
            "size" => {
                self.only(&key, &["tmpfs"])?;
                self.size = bytes(&value).ok_or_else(|| wrong(&key, &value))?;
            }
            "id" => self.id = some(value),
            "env" => self.env = some(value),
            "sharing" => {
                self.sharing = Some(match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(Why::Sharing(value)),
                });
            }
            "mode" => self.mode = number("mode", &value, 8)?,
            "uid" => self.uid = number("uid", &value, 10)?,
            "gid" => self.gid = number("gid", &value, 10)?,
            _ => {
                let near = near(&key, &KEYS);
                return Err(Why::MountKey { key, field: field.into(), near });
            }
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, Why> {
        let kind = self.kind();
        if matches!(kind, "bind" | "tmpfs") {
            let said = [
                ("mode", self.mode.is_some()),
                ("uid", self.uid.is_some()),
                ("gid", self.gid.is_some()),
            ];
            if let Some((key, _)) = said.into_iter().find(|(_, said)| *said) {
                return Err(Why::NotAllowed { key, kind });
            }
        }
        if self.sharing.is_some() && kind != "cache" {
            return Err(Why::SharingOf(kind));
        }
        if matches!(kind, "bind" | "cache" | "tmpfs")
            && self.target.as_deref().is_none_or(|target| target.trim_matches('/').is_empty())
        {
            return Err(Why::MountTarget);
        }
        Ok(match kind {
            "cache" => Mount {
                target: self.target,
                kind: MountKind::Cache {
                    id: self.id,
                    from: self.from,
                    source: self.source,
                    sharing: self.sharing.unwrap_or_default(),
                    read_only: self.read_only == Some(true),
                    mode: self.mode,
                    uid: self.uid,
                    gid: self.gid,
                },
            },
            "tmpfs" => Mount { target: self.target, kind: MountKind::Tmpfs { size: self.size } },
            "secret" => {
                if self.from.is_some() {
                    return Err(Why::SecretFrom);
                }
                if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                    return Err(Why::SecretNameless);
                }
                if self.source.is_some() && self.id.is_some() {
                    return Err(Why::SourceAndId);
                }
                let id = self.source.or(self.id);
                Mount {
                    target: self.target,
                    kind: MountKind::Secret(Held {
                        id,
                        required: self.required,
                        env: self.env,
                        mode: self.mode,
                        uid: self.uid,
                        gid: self.gid,
                    }),
                }
            }
            "ssh" => Mount {
                target: self.target,
                kind: MountKind::Ssh(Held {
                    id: self.source.or(self.id),
                    required: self.required,
                    env: None,
                    mode: self.mode,
                    uid: self.uid,
                    gid: self.gid,
                }),
            },
            _ => Mount {
                target: self.target,
                kind: MountKind::Bind {
                    from: self.from,
                    source: self.source,
                    writable: self.read_only == Some(false),
                },
            },
        })
    }
}

fn word(words: &Words, text: &str) -> Result<String, Why> {
    words.word(text).map_err(|why: WordError| Why::Word { word: text.into(), why })
}

/// One record of comma-separated values, quoted by `"` as in RFC 4180.
fn fields(text: &str) -> Result<Vec<String>, Why> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            if rest[..end].contains('"') {
                return Err(Why::MountQuote);
            }
            (rest[..end].to_owned(), &rest[end..])
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(Why::MountQuote),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), Why> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or(Why::MountQuote)?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            // Two are one.
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

/// As Go's `strconv.ParseBool`.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `64m`, `1.5GiB`: powers of 1024, as Docker's `RAMInBytes`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let scale = 1024_u64.checked_pow(power)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    // Nine digits are more than a byte of a pebibyte needs.
    let part = format!("{part:0<9.9}");
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(scale) / 1_000_000_000;
    whole.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text_: &str) -> Result<Mount, Why> {
        let scope = |name: &str| (name == "n").then(|| "7".to_owned());
        text(text_.into())?.read(&Words { escape: '\\', scope: &scope })
    }

    #[test]
    fn a_cache_says_who_may_use_it_and_whose_it_is() {
        let mount = read("type=cache,target=/var/cache,id=a$n,sharing=locked,uid=$n,mode=0700");
        assert_eq!(
            mount,
            Ok(Mount {
                target: Some("/var/cache".into()),
                kind: MountKind::Cache {
                    id: Some("a7".into()),
                    from: None,
                    source: None,
                    sharing: Sharing::Locked,
                    read_only: false,
                    mode: Some(0o700),
                    uid: Some(7),
                    gid: None,
                }
            })
        );
    }

    #[test]
    fn a_bind_is_read_only_until_it_says_otherwise() {
        let writable = |text| match read(text).expect("a bind").kind {
            MountKind::Bind { writable, .. } => writable,
            other => panic!("{other:?}"),
        };
        assert!(!writable("target=/a"));
        assert!(writable("target=/a,rw"));
        assert!(writable("target=/a,readonly=false"));
    }

    #[test]
    fn what_it_needs_is_known_before_variables_are() {
        let from = |text_: &str| text(text_.into()).map(|mount| mount.from);
        assert_eq!(from("from=base,target=/$x"), Ok(Some("base".into())));
        assert_eq!(from("from=$x,target=/x"), Err(Why::MountFrom));
    }

    #[test]
    fn fields_may_be_quoted() {
        let target = |text| read(text).map(|mount| mount.target);
        assert_eq!(target("\"target=/a,b\""), Ok(Some("/a,b".into())));
        assert_eq!(target("target=/a\"b"), Err(Why::MountQuote));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("1.5GiB"), Some(3 << 29));
        assert_eq!(bytes("10"), Some(10));
        assert_eq!(bytes("m"), None);
        assert_eq!(bytes("1x"), None);
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_words() {
        for (text, words) in [
            ("type=cach,target=/x", "unsupported mount type \"cach\" (did you mean cache?)"),
            ("foo=x,target=/x", "unexpected key 'foo' in 'foo=x' (did you mean from?)"),
            ("type=bind", "invalid mount target \"/\""),
            ("type=bind,target=/", "invalid mount target \"/\""),
            ("target=/x,required", "unexpected key 'required' for mount type 'bind'"),
            ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
            ("target=/x,uid=0", "uid not allowed for \"bind\" type mounts"),
            ("target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=y,source=z", "both source and id can't be set"),
            ("type=tmpfs,target=/x,size=foo", "invalid value for size: foo"),
        ] {
            assert_eq!(read(text).expect_err(text).to_string(), words);
        }
    }
}
