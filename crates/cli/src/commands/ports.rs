//! The `PORTS` column of `ps`, with neighbours drawn together as Docker does:
//! `0.0.0.0:9000-9002->9000-9002/tcp, 443/tcp`.

use crate::show::plain;
use serde_json::Value;

/// One port of the API's list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    inside: u64,
    ip: String,
    outside: u64,
    kind: String,
}

/// Ports in a row that are told as one.
struct Run {
    ip: String,
    kind: String,
    first: u64,
    last: u64,
}

impl Run {
    fn text(&self) -> String {
        let span = if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        };
        match self.ip.as_str() {
            "" => format!("{span}/{}", self.kind),
            ip => format!("{}:{span}->{span}/{}", host(ip), self.kind),
        }
    }
}

fn host(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

/// What stands in the column.
pub fn text(list: &Value) -> String {
    let read = |port: &Value| Port {
        inside: port["PrivatePort"].as_u64().unwrap_or(0),
        ip: plain(&port["IP"]),
        outside: port["PublicPort"].as_u64().unwrap_or(0),
        kind: plain(&port["Type"]),
    };
    let mut ports: Vec<Port> = list.as_array().into_iter().flatten().map(read).collect();
    ports.sort();
    let (mut done, mut moved, mut runs) = (Vec::new(), Vec::new(), Vec::<Run>::new());
    for Port { inside, ip, outside, kind } in ports {
        if !ip.is_empty() && outside != inside {
            moved.push(format!("{}:{outside}->{inside}/{kind}", host(&ip)));
            continue;
        }
        let run = Run { ip, kind, first: inside, last: inside };
        match runs.iter_mut().find(|other| other.ip == run.ip && other.kind == run.kind) {
            Some(other) if other.last + 1 == inside => other.last = inside,
            Some(other) => done.push(std::mem::replace(other, run).text()),
            None => runs.push(run),
        }
    }
    done.extend(runs.iter().map(Run::text));
    done.extend(moved);
    done.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn published_ports_are_dockers_text() {
        let list = json!([
            {"PrivatePort": 443, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        ]);
        assert_eq!(text(&list), "443/tcp, [::]:8080->80/tcp");
    }

    #[test]
    fn neighbours_are_told_as_one() {
        let port =
            |ip: &str, n: u64| json!({"IP": ip, "PrivatePort": n, "PublicPort": n, "Type": "tcp"});
        let mut list = vec![json!({"PrivatePort": 100, "Type": "udp"})];
        list.push(json!({"PrivatePort": 101, "Type": "udp"}));
        for n in [9000, 9001, 9003] {
            list.extend([port("0.0.0.0", n), port("::", n)]);
        }
        assert_eq!(
            text(&Value::Array(list)),
            "0.0.0.0:9000-9001->9000-9001/tcp, [::]:9000-9001->9000-9001/tcp, 100-101/udp, \
             0.0.0.0:9003->9003/tcp, [::]:9003->9003/tcp"
        );
    }
}
