//! The scope of a container whose control groups systemd keeps
//! (`--systemd-cgroup`).
//!
//! Its name is in the record before systemd hears of it. It lives as long as
//! there are processes in it; `delete` asks systemd to forget it.

use crate::{container::Container, problem::Problem};
use cgroup::{
    Cgroup, Layout,
    systemd::{Anchor, Place, Scope, Systemd, group_of},
};
use spec::oci::Resources;

/// Has systemd make the container's group, with `limits`. The anchor must live
/// until the container's first process is in it.
pub fn start(
    container: &mut Container,
    layout: &Layout,
    path: &str,
    limits: &Resources,
) -> Result<(Cgroup, Anchor), Problem> {
    let id = container.record.id.clone();
    let place = Place::parse(path, &id).map_err(|error| Problem::Limits(error.into()))?;
    let planned = Cgroup::plan(layout, place.path()).map_err(Problem::Limits)?;
    let anchor = Anchor::drop_one().map_err(|error| Problem::Limits(error.into()))?;
    let mut systemd = connect(place.unit())?;
    container.record.cgroup_paths = planned.paths();
    container.record.unit = Some(place.unit().to_owned());
    container.save()?;
    let scope = Scope {
        place: &place,
        pid: anchor.pid(),
        version: layout.version(),
        limits: Some(limits),
        annotations: &container.record.spec.annotations,
    };
    if let Err(error) = systemd.start(&scope) {
        if error.kind() == cgroup::Kind::Busy {
            // It is somebody else's, and not to be taken back.
            container.record.unit = None;
            container.record.cgroup_paths.clear();
        }
        return Err(Problem::Unit(place.unit().to_owned(), error));
    }
    // Where systemd's own tree does not begin at the top, it is elsewhere.
    let real = group_of(layout, anchor.pid()).map_err(|error| Problem::Limits(error.into()))?;
    let group = Cgroup::join_made(layout, &real).map_err(Problem::Limits)?;
    if group.paths() != container.record.cgroup_paths {
        container.record.cgroup_paths = group.paths();
        container.save()?;
    }
    Ok((group, anchor))
}

/// Changes what systemd keeps of the limits.
pub fn update(unit: &str, limits: &Resources) -> Result<(), Problem> {
    let version = Layout::detect()?.version();
    let mut systemd = connect(unit)?;
    systemd.set(unit, version, limits).map_err(Problem::UnitProperties)
}

/// Ends the scope.
pub fn stop(unit: &str) -> Result<(), Problem> {
    let stopped = Systemd::connect().and_then(|mut systemd| systemd.stop(unit));
    stopped.map_err(|error| Problem::UnitStop(unit.to_owned(), error))
}

fn connect(unit: &str) -> Result<Systemd, Problem> {
    Systemd::connect().map_err(|error| Problem::Unit(unit.to_owned(), error.into()))
}
