//! Bodies as clients send them, from which others are made.

use serde_json::{Value, json};

/// Contexts to build.
pub const DOCKERFILES: [&str; 7] = [
    "FROM busybox\nRUN true\n",
    "FROM busybox AS a\nCOPY Dockerfile /x\nFROM a\nENV A=1\n",
    "FROM nonesuch\n",
    "FROM scratch\nCOPY nonesuch /x\n",
    "FROM",
    "RUN true\n",
    "FROM busybox\nHEALTHCHECK --interval=x CMD true\nEXPOSE 99999\nUSER \u{0}\n",
];

/// Does the operation take a tar stream?
pub fn takes_an_archive(pattern: &str) -> bool {
    pattern.ends_with("/archive") || matches!(pattern, "/build" | "/images/load" | "/images/create")
}

/// Fields that are left as they are: what stands in them is made on the
/// machine itself.
pub fn is_a_path_of_the_host(field: &str) -> bool {
    matches!(field, "CgroupParent" | "Binds")
}

/// A body that an operation takes.
pub fn of(pattern: &str) -> Option<Value> {
    Some(match pattern.rsplit('/').next()? {
        "create" if pattern == "/containers/create" => {
            serde_json::from_str(CONTAINER).expect("it is JSON")
        }
        "create" if pattern == "/networks/create" => network(),
        "create" if pattern == "/volumes/create" => json!({
            "Name": "fresh", "Driver": "local", "Labels": {"a": "b"},
            "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"},
        }),
        "exec" => json!({
            "Cmd": ["true"], "AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Tty": false,
            "Env": ["A=1"], "User": "0:0", "WorkingDir": "/", "Privileged": false, "DetachKeys": "ctrl-a",
            "ConsoleSize": [10, 10],
        }),
        "start" if pattern.starts_with("/exec") => {
            json!({"Detach": false, "Tty": false, "ConsoleSize": [10, 10]})
        }
        "update" if pattern.starts_with("/containers") => json!({
            "Memory": 67_108_864, "MemorySwap": -1, "CpuShares": 512, "CpuQuota": 10_000, "CpuPeriod": 100_000,
            "CpusetCpus": "0", "PidsLimit": 100, "BlkioWeight": 0, "NanoCpus": 0, "MemoryReservation": 0,
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "Ulimits": null,
            "Publish": {"80/tcp": [{"HostPort": ""}]}, "Unpublish": [],
        }),
        "update" if pattern.starts_with("/networks") => json!({"Egress": ["deny"]}),
        "connect" => json!({"Container": "alive", "EndpointConfig": {
            "Aliases": ["x"], "Links": [], "IPAMConfig": {"IPv4Address": "10.88.0.9"},
            "MacAddress": "02:42:ac:11:00:09", "DriverOpts": {}, "GwPriority": 0}}),
        "disconnect" => json!({"Container": "alive", "Force": false}),
        "auth" => json!({"username": "a", "password": "b", "serveraddress": "127.0.0.1:1"}),
        "commit" => {
            json!({"Labels": {"a": "b"}, "Cmd": ["true"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}})
        }
        _ => return None,
    })
}

fn network() -> Value {
    json!({
        "Name": "fresh", "Driver": "bridge", "CheckDuplicate": true, "Internal": false, "Attachable": false,
        "Ingress": false, "EnableIPv4": true, "EnableIPv6": false, "ConfigOnly": false, "Scope": "local",
        "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.99.0.0/24",
            "IPRange": "10.99.0.0/25", "Gateway": "10.99.0.1", "AuxiliaryAddresses": {"a": "10.99.0.2"}}]},
        "Options": {"com.docker.network.driver.mtu": "1400", "cofferdam.egress": "deny"},
        "Labels": {"a": "b"},
    })
}

/// With a field of every kind there is.
const CONTAINER: &str = r#"{
    "Image": "busybox", "Hostname": "h", "Domainname": "d", "User": "0", "AttachStdin": false,
    "AttachStdout": true, "AttachStderr": true, "Tty": false, "OpenStdin": false, "StdinOnce": false,
    "Env": ["A=1"], "Cmd": ["sleep", "1000"], "Entrypoint": null, "WorkingDir": "/tmp",
    "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "StopSignal": "KILL",
    "StopTimeout": 1, "Shell": ["sh"], "MacAddress": "02:42:ac:11:00:08", "NetworkDisabled": false,
    "OnBuild": null, "ArgsEscaped": false,
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 1000000000, "Retries": 1, "StartPeriod": 0, "StartInterval": 0},
    "HostConfig": {
        "Binds": ["vol:/vol:ro"], "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        "NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": false, "VolumeDriver": "",
        "VolumesFrom": ["alive:ro"], "ConsoleSize": [0, 0], "Annotations": {"a": "b"}, "CapAdd": ["NET_RAW"], "CapDrop": ["ALL"],
        "CgroupnsMode": "private", "Dns": ["192.0.2.1"], "DnsOptions": ["ndots:1"], "DnsSearch": ["x"], "ExtraHosts": ["a:1.2.3.4"],
        "GroupAdd": ["50"], "IpcMode": "private", "Cgroup": "", "Links": ["alive:b"], "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
        "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": ["no-new-privileges"], "StorageOpt": {}, "Tmpfs": {"/t": "size=1m"},
        "UTSMode": "", "UsernsMode": "", "ShmSize": 1048576, "Sysctls": {"net.ipv4.ip_default_ttl": "63"}, "Runtime": "", "Isolation": "",
        "CpuShares": 2, "Memory": 67108864, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}], "CpuPeriod": 0, "CpuQuota": 0, "CpusetCpus": "0", "CpusetMems": "",
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}], "DeviceCgroupRules": ["c 1:3 r"],
        "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": -1, "MemorySwappiness": null, "OomKillDisable": false, "Init": true,
        "PidsLimit": 50, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        "Mounts": [{"Type": "tmpfs", "Target": "/m", "ReadOnly": false, "TmpfsOptions": {"SizeBytes": 4096, "Mode": 511}},
            {"Type": "volume", "Source": "vol", "Target": "/n", "VolumeOptions": {"NoCopy": true, "Labels": {}, "Subpath": ""}}],
        "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"], "Egress": ["deny"]
    },
    "NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": null, "IPAMConfig": {}, "DriverOpts": {}, "GwPriority": 0}}}
}"#;
