//! Published ports as runs: what is beside one another is one.

use crate::Published;

/// Where of two runs one port would be the same: protocol, address, whether
/// the host's port counts, and how far the container's is from it.
type Line = (spec::ports::Proto, std::net::IpAddr, bool, i32);

fn line(one: &Published) -> Line {
    let straight = one.host_port == 0;
    let shift = i32::from(one.container_port) - i32::from(one.host_port);
    (one.proto, one.host_ip, straight, if straight { 0 } else { shift })
}

/// The same ports in as few runs as can be, in order.
pub fn joined(ports: impl IntoIterator<Item = Published>) -> Vec<Published> {
    let mut ports: Vec<Published> = ports.into_iter().collect();
    ports.sort_by_key(|one| (line(one), one.container_port));
    let mut joined: Vec<Published> = Vec::new();
    for one in ports {
        match joined.last_mut() {
            Some(last)
                if line(last) == line(&one)
                    && last.container_port + (last.count - 1)
                        >= one.container_port.saturating_sub(1) =>
            {
                let end = *last.container_ports().end().max(one.container_ports().end());
                last.count = end - last.container_port + 1;
            }
            _ => joined.push(one),
        }
    }
    joined
}

/// Those of one list that are not on another.
pub fn without(all: &[Published], others: &[Published]) -> Vec<Published> {
    let others = joined(others.iter().copied());
    let mut rest = Vec::new();
    for run in joined(all.iter().copied()) {
        let end = *run.container_ports().end();
        let mut at = Some(run.container_port);
        for other in others.iter().filter(|other| line(other) == line(&run)) {
            let (first, last) = other.container_ports().into_inner();
            let Some(from) = at.filter(|from| last >= *from && first <= end) else { continue };
            if first > from {
                rest.push(run.part(from - run.container_port, first - from));
            }
            at = last.checked_add(1).filter(|next| *next <= end);
        }
        rest.extend(at.map(|from| run.part(from - run.container_port, end - from + 1)));
    }
    rest
}

/// Those of one list that are on another too.
pub fn common(all: &[Published], others: &[Published]) -> Vec<Published> {
    without(all, &without(all, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::ports::Proto;

    fn run(host_port: u16, container_port: u16, count: u16) -> Published {
        let host_ip = [0, 0, 0, 0].into();
        Published { proto: Proto::Tcp, host_ip, host_port, container_port, count }
    }

    #[test]
    fn neighbours_are_one_and_others_are_not() {
        let ports = [run(12, 12, 1), run(10, 10, 2), run(13, 14, 1), run(0, 5, 1), run(0, 6, 1)];
        assert_eq!(joined(ports), [run(10, 10, 3), run(13, 14, 1), run(0, 5, 2)]);
        let all = run(10, 20, 5);
        assert_eq!(joined(all.each()), [all]);
        assert_eq!(joined([all, run(12, 22, 1)]), [all]);
    }

    #[test]
    fn a_part_can_be_taken_out() {
        let all = [run(10, 20, 5), run(40, 40, 1)];
        assert_eq!(
            without(&all, &[run(12, 22, 1)]),
            [run(40, 40, 1), run(10, 20, 2), run(13, 23, 2)]
        );
        assert_eq!(
            without(&all, &[run(12, 21, 1), run(9, 19, 2)]),
            [run(40, 40, 1), run(11, 21, 4)]
        );
        assert_eq!(without(&all, &all), []);
        assert_eq!(
            common(&all, &[run(14, 24, 9), run(1, 1, 65535)]),
            [run(40, 40, 1), run(14, 24, 1)]
        );
        let whole = [run(1, 1, 65535)];
        assert_eq!(without(&whole, &[run(65535, 65535, 1)]), [run(1, 1, 65534)]);
        assert_eq!(without(&whole, &[run(1, 1, 1)]), [run(2, 2, 65534)]);
    }
}
