//! What a container serves, for who looks it up by name (`SRV`): the ports
//! that it exposes or publishes, by number and by what the host's
//! `/etc/services` calls them.

use crate::{Container, Error, error::Doing, ports};
use network::Proto;
use resolver::wire::Service;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

/// Source: `services(5)`.
const FILE: &str = "/etc/services";

/// More runs of ports than any image has, few enough for one message; what is
/// beyond them is reached all the same, and not found by its number.
const MOST: usize = 2000;

/// Names by port and protocol.
type Names = BTreeMap<(Proto, u16), Vec<String>>;

/// What a container serves.
///
/// # Errors
/// A port that is none, or what the host said.
pub(crate) fn of(container: &Container) -> Result<Vec<Service>, Error> {
    let exposed = ports::exposed(&container.config)?.into_iter().map(|(port, proto)| (proto, port));
    let published = ports::wishes(&container.config, &container.host)?;
    let published = published.iter().flat_map(network::PortWish::each);
    let published = published.map(|wish| (wish.proto, wish.container_port));
    let all: BTreeSet<(Proto, u16)> = exposed.chain(published).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let text = match fs::read_to_string(FILE) {
        // A host without the file has numbers alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.doing("read", FILE)?,
    };
    Ok(runs(&all, &names(&text)))
}

/// Reads `NAME PORT/PROTO ALIAS… # COMMENT`.
fn names(text: &str) -> Names {
    let mut names = Names::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(name), Some(place)) = (words.next(), words.next()) else { continue };
        let place = place.split_once('/');
        let read = |(port, proto): (&str, &str)| Some((proto.parse().ok()?, port.parse().ok()?));
        let Some(place) = place.and_then(read) else { continue };
        let all = std::iter::once(name).chain(words).map(str::to_ascii_lowercase);
        names.entry(place).or_default().extend(all);
    }
    names
}

/// Ports side by side as one, but for those that have names.
fn runs(all: &BTreeSet<(Proto, u16)>, names: &Names) -> Vec<Service> {
    let mut runs: Vec<Service> = Vec::new();
    for (proto, port) in all {
        let names = names.get(&(*proto, *port)).cloned().unwrap_or_default();
        let proto = proto.to_string();
        match runs.last_mut() {
            Some(run)
                if run.proto == proto
                    && run.last.checked_add(1) == Some(*port)
                    && run.names.is_empty()
                    && names.is_empty() =>
            {
                run.last = *port;
            }
            _ => runs.push(Service { first: *port, last: *port, proto, names }),
        }
    }
    runs.truncate(MOST);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nhttp\t\t80/tcp\t\twww # WorldWideWeb HTTP\ndomain 53/udp\n\
                        postgresql 5432/tcp postgres\nodd\nodder 99\noddest x/tcp\nddp 1/ddp\n";

    #[test]
    fn the_file_of_services_is_read_as_the_c_library_does() {
        let names = names(TEXT);
        assert_eq!(names[&(Proto::Tcp, 80)], ["http", "www"]);
        assert_eq!(names[&(Proto::Tcp, 5432)], ["postgresql", "postgres"]);
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn ports_side_by_side_are_one_run_unless_they_have_a_name() {
        let all = [(Proto::Tcp, 79), (Proto::Tcp, 80), (Proto::Tcp, 81), (Proto::Tcp, 82)];
        let all = all.into_iter().chain([(Proto::Udp, 83), (Proto::Tcp, 65535)]).collect();
        let said = |run: &Service| {
            format!("{}-{}/{} {}", run.first, run.last, run.proto, run.names.join(" "))
        };
        let runs = runs(&all, &names(TEXT));
        let runs: Vec<String> = runs.iter().map(said).collect();
        let tcp = ["79-79/tcp ", "80-80/tcp http www", "81-82/tcp ", "65535-65535/tcp "];
        assert_eq!(runs[..4], tcp);
        assert_eq!(runs[4..], ["83-83/udp "]);
    }
}
