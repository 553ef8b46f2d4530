//! Where systemd is to put a container: `slice:prefix:name`.

use super::Error;

/// A place in systemd's tree of units, which is one in the control groups too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    slice: String,
    unit: String,
    name: String,
    path: String,
}

/// Where a container goes whose bundle names no slice.
const SLICE: &str = "system.slice";
/// What its unit's name begins with then.
const PREFIX: &str = "cofferdam-run";
/// The longest name of a unit, in bytes.
///
/// Source: `UNIT_NAME_MAX` in systemd's `unit-name.h`.
const LONGEST: usize = 255;

impl Place {
    /// Reads `linux.cgroupsPath`; an empty one is the place of the container
    /// `id` in [`system.slice`](SLICE).
    ///
    /// # Errors
    /// A path of another form, or a part that cannot be in a unit's name.
    pub fn parse(path: &str, id: &str) -> Result<Self, Error> {
        if path.is_empty() {
            return Self::new(SLICE, PREFIX, id);
        }
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Err(Error::BadPath(path.into())) };
        Self::new(if slice.is_empty() { SLICE } else { slice }, prefix, name)
    }

    fn new(slice: &str, prefix: &str, name: &str) -> Result<Self, Error> {
        let unit = format!("{prefix}-{name}.scope");
        let above = expand(slice)?;
        // A slice holds no processes of its own.
        if name.is_empty() || name.strip_suffix(".slice").is_some() || !fits(&unit) {
            return Err(Error::BadUnit(unit));
        }
        let path = format!("{above}/{unit}");
        Ok(Self { slice: slice.into(), unit, name: name.into(), path })
    }

    /// The slice's name.
    pub fn slice(&self) -> &str {
        &self.slice
    }

    /// The scope's name.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The container's name in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The control group that systemd gives it, from the top of a tree.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Whether the text can be a unit's name; nothing else can be in a path.
///
/// Source: `systemd.unit(5)`, "Description".
fn fits(unit: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    unit.len() <= LONGEST && unit.bytes().all(known)
}

/// The groups above and of a slice: `a-b.slice` lies in `a.slice`.
///
/// Source: `systemd.slice(5)`.
fn expand(slice: &str) -> Result<String, Error> {
    let bad = || Error::BadSlice(slice.into());
    let stem = slice.strip_suffix(".slice").filter(|_| fits(slice)).ok_or_else(bad)?;
    if stem == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return Err(bad());
        }
        name.push_str(if name.is_empty() { "" } else { "-" });
        name.push_str(part);
        path.push_str(&format!("/{name}.slice"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        Place::parse(text, "id").expect("a good place").path
    }

    #[test]
    fn three_parts_are_a_slice_a_prefix_and_a_name() {
        let place = Place::parse("machine.slice:libpod:f00", "id").expect("good");
        assert_eq!(place.slice(), "machine.slice");
        assert_eq!(place.unit(), "libpod-f00.scope");
        assert_eq!(place.name(), "f00");
        assert_eq!(place.path(), "/machine.slice/libpod-f00.scope");
    }

    #[test]
    fn a_slice_lies_below_those_that_its_name_names() {
        assert_eq!(path("a-b-c.slice:p:n"), "/a.slice/a-b.slice/a-b-c.slice/p-n.scope");
        assert_eq!(path("-.slice:p:n"), "/p-n.scope");
    }

    #[test]
    fn without_a_path_it_goes_to_the_systems_slice() {
        assert_eq!(path(""), "/system.slice/cofferdam-run-id.scope");
        assert_eq!(path(":p:n"), "/system.slice/p-n.scope");
    }

    #[test]
    fn another_form_is_refused_in_the_words_of_runc() {
        for text in ["/a/b", "a.slice:b", "a.slice:b:c:d"] {
            let refused = Place::parse(text, "id").expect_err("must refuse");
            let words = format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, \
                 got {text:?} instead"
            );
            assert_eq!(refused.to_string(), words);
        }
    }

    #[test]
    fn no_part_leads_out_of_the_slice() {
        for text in [
            "../a.slice:p:n",
            "a/b.slice:p:n",
            "a.slice:..:n/../../..",
            "a.slice:p:../n",
            "a.slice:p:",
            "a.slice:p:b.slice",
            "a--b.slice:p:n",
            "-a.slice:p:n",
            "a-.slice:p:n",
            ".slice:p:n",
            "a:p:n",
            "a.slice:p:n m",
            "a.slice:p:n\n",
        ] {
            assert!(Place::parse(text, "id").is_err(), "{text:?}");
        }
        assert!(Place::parse(&format!("a.slice:p:{}", "n".repeat(248)), "id").is_err());
    }
}
