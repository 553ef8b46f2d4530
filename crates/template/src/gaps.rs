//! What Docker's types have and their JSON leaves out or calls null, so that
//! a template meets what it meets in Go: an empty list, an empty map, an empty
//! text, or nothing to point to.
//!
//! A gap is a text that no engine sends: a sign that is not printed, then
//! whether the JSON had a null there, then what it is in Go.

use serde_json::Value;

/// Where a row keeps its labels one by one, for `.Label "key"`; not shown.
pub const LABELS: &str = "\0labels";

/// A null that Go points to nothing with, in a row.
pub const NOTHING: &str = "\0+*";

/// What a gap is in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pointer,
    List,
    Map,
    Text,
    Number,
}

use Kind::{List, Map, Number, Pointer, Text};

/// A field without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    kind: Kind,
    /// The JSON has it, as null.
    pub written: bool,
}

/// Fields that are maps in Go, not structures: they may lack anything.
pub const MAPS: [&str; 16] = [
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

impl Gap {
    /// What a value stands for, if it is a gap.
    pub fn of(value: &Value) -> Option<Self> {
        let mut signs = value.as_str()?.strip_prefix('\0')?.chars();
        let written = match signs.next()? {
            '+' => true,
            '-' => false,
            _ => return None,
        };
        let kind = match signs.as_str() {
            "*" => Pointer,
            "[]" => List,
            "{}" => Map,
            "\"\"" => Text,
            "0" => Number,
            _ => return None,
        };
        Some(Self { kind, written })
    }

    fn value(self) -> Value {
        let kind = match self.kind {
            Pointer => "*",
            List => "[]",
            Map => "{}",
            Text => "\"\"",
            Number => "0",
        };
        format!("\0{}{kind}", if self.written { '+' } else { '-' }).into()
    }

    /// A value as a template gets it that asked for it by name.
    pub fn told(value: Value) -> Value {
        match Self::of(&value).map(|gap| gap.kind) {
            Some(Text) => "".into(),
            Some(Number) => 0.into(),
            _ => value,
        }
    }

    /// As Go prints it.
    pub fn words(self) -> &'static str {
        match self.kind {
            Pointer => "<nil>",
            List => "[]",
            Map => "map[]",
            Text => "",
            Number => "0",
        }
    }

    pub fn is_map(self) -> bool {
        self.kind == Map
    }

    pub fn is_list(self) -> bool {
        self.kind == List
    }
}

/// Fields of one kind below a path; `*` is each element, and as a field each
/// that is there.
type Row = (&'static str, Kind, &'static [&'static str]);

const CONFIG: [Row; 4] = [
    ("Config", List, &["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"]),
    ("Config", Map, &["ExposedPorts", "Volumes", "Labels"]),
    ("Config", Text, &["User", "Image", "WorkingDir", "StopSignal", "MacAddress"]),
    ("Config", Pointer, &["Healthcheck", "StopTimeout"]),
];

const CONTAINER: [Row; 13] = [
    ("", Pointer, &["SizeRw", "SizeRootFs", "GraphDriver", "ImageManifestDescriptor"]),
    ("", List, &["Args", "ExecIDs", "Mounts"]),
    ("State", Pointer, &["Health"]),
    ("State", Text, &["Error"]),
    (
        "HostConfig",
        List,
        &[
            "Binds",
            "BlkioDeviceReadBps",
            "BlkioDeviceReadIOps",
            "BlkioDeviceWriteBps",
            "BlkioDeviceWriteIOps",
            "BlkioWeightDevice",
            "CapAdd",
            "CapDrop",
            "DeviceCgroupRules",
            "DeviceRequests",
            "Devices",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "GroupAdd",
            "Links",
            "MaskedPaths",
            "Mounts",
            "ReadonlyPaths",
            "SecurityOpt",
            "Ulimits",
            "VolumesFrom",
        ],
    ),
    ("HostConfig", Map, &["Annotations", "PortBindings", "StorageOpt", "Sysctls", "Tmpfs"]),
    ("HostConfig", Pointer, &["Init", "MemorySwappiness", "OomKillDisable", "PidsLimit"]),
    ("HostConfig", Number, &["KernelMemory", "KernelMemoryTCP"]),
    ("Mounts.*", Text, &["Name", "Driver", "Source", "Mode", "Propagation"]),
    ("NetworkSettings", Map, &["Ports"]),
    ("NetworkSettings.Ports", List, &["*"]),
    ("NetworkSettings.Networks.*", List, &["Aliases", "DNSNames", "Links"]),
    ("NetworkSettings.Networks.*", Map, &["DriverOpts"]),
];

const ENDPOINT: [Row; 1] = [("NetworkSettings.Networks.*", Pointer, &["IPAMConfig"])];

const IMAGE: [Row; 3] = [
    ("", List, &["RepoTags", "RepoDigests"]),
    (
        "",
        Text,
        &["Author", "Comment", "Created", "DockerVersion", "OsVersion", "Parent", "Variant"],
    ),
    ("", Pointer, &["Descriptor", "GraphDriver"]),
];

const NETWORK: [Row; 5] = [
    ("", Map, &["Containers", "Labels", "Options", "Services"]),
    ("", List, &["Peers"]),
    ("IPAM", List, &["Config"]),
    ("IPAM", Map, &["Options"]),
    ("IPAM.Config.*", Text, &["Gateway", "IPRange"]),
];

const VOLUME: [Row; 3] = [
    ("", Map, &["Labels", "Options", "Status"]),
    ("", Text, &["CreatedAt"]),
    ("", Pointer, &["ClusterVolume", "UsageData"]),
];

/// An object of `inspect` with its gaps.
pub fn whole(value: &Value) -> Value {
    let mut value = value.clone();
    let rows: &[&[Row]] = if value["State"].is_object() {
        &[&CONTAINER, &ENDPOINT, &CONFIG]
    } else if value["RootFS"].is_object() {
        &[&IMAGE, &CONFIG]
    } else if value["IPAM"].is_object() {
        &[&NETWORK]
    } else {
        &[&VOLUME]
    };
    for (path, kind, fields) in rows.iter().copied().flatten() {
        let steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
        below(&mut value, &steps, *kind, fields);
    }
    value
}

fn below(value: &mut Value, steps: &[&str], kind: Kind, fields: &[&str]) {
    match (steps, value) {
        ([], Value::Object(map)) if fields == ["*"] => {
            for value in map.values_mut().filter(|value| value.is_null()) {
                *value = Gap { kind, written: true }.value();
            }
        }
        ([], Value::Object(map)) => {
            for field in fields {
                let absent = Gap { kind, written: false }.value();
                let value = map.entry(*field).or_insert(absent);
                if value.is_null() {
                    *value = Gap { kind, written: true }.value();
                }
            }
        }
        (["*", rest @ ..], Value::Object(map)) => {
            for value in map.values_mut() {
                below(value, rest, kind, fields);
            }
        }
        (["*", rest @ ..], Value::Array(list)) => {
            for value in list {
                below(value, rest, kind, fields);
            }
        }
        ([step, rest @ ..], Value::Object(map)) => {
            if let Some(value) = map.get_mut(*step) {
                below(value, rest, kind, fields);
            }
        }
        // A shape of another engine is shown as it is.
        _ => {}
    }
}
