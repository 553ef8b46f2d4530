//! What somebody who looks at every group again and again wants to know: the
//! few figures that come from few files.

use crate::{
    Cgroup, Error, IoStats, Pressure,
    stats::{
        counter, field, io, io_legacy, limited, modes_legacy, number, text, throttling,
        throttling_of,
    },
};

/// A part of [`Stats`](crate::Stats), for a third of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Nanoseconds on processors.
    pub cpu: u64,
    /// Of those in programs.
    pub cpu_user: u64,
    /// Of those in the kernel.
    pub cpu_system: u64,
    /// Periods with a quota that began.
    pub periods: u64,
    /// Of those, in how many it ran out.
    pub throttled_periods: u64,
    /// For how many nanoseconds.
    pub throttled: u64,
    /// Bytes of memory, page cache included.
    pub memory: u64,
    /// Of those, page cache that was not used lately and goes first.
    pub inactive_file: u64,
    /// Bytes that it may have; none if not limited.
    pub memory_limit: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
    /// Processes and threads.
    pub pids: u64,
    /// How many it may have; none if not limited.
    pub pids_limit: Option<u64>,
    /// Of block devices.
    pub io: IoStats,
    /// How long it waited.
    pub pressure: Pressure,
}

impl Cgroup {
    /// Reads a dozen files.
    ///
    /// # Errors
    /// If the group is gone or cannot be read.
    pub fn gauge(&self) -> Result<Gauge, Error> {
        let unified = self.unified();
        let mut gauge = Gauge { pressure: self.pressure()?, ..Gauge::default() };
        self.gauge_cpu(&mut gauge)?;
        match (self.legacy("memory"), unified) {
            (Some(dir), _) => {
                gauge.memory = number(dir, "memory.usage_in_bytes")?.unwrap_or(0);
                gauge.memory_limit = limited(number(dir, "memory.limit_in_bytes")?);
                gauge.inactive_file = counter(dir, "memory.stat", "total_inactive_file")?;
                gauge.oom_kills = counter(dir, "memory.oom_control", "oom_kill")?;
            }
            (None, Some(dir)) => {
                gauge.memory = number(dir, "memory.current")?.unwrap_or(0);
                gauge.memory_limit = number(dir, "memory.max")?;
                gauge.inactive_file = counter(dir, "memory.stat", "inactive_file")?;
                gauge.oom_kills = counter(dir, "memory.events", "oom_kill")?;
            }
            (None, None) => {}
        }
        if let Some(dir) = self.legacy("pids").or(unified) {
            gauge.pids = number(dir, "pids.current")?.unwrap_or(0);
            gauge.pids_limit = number(dir, "pids.max")?;
        }
        match (self.legacy("blkio"), unified) {
            (Some(dir), _) => gauge.io = io_legacy(dir)?,
            (None, Some(dir)) => gauge.io = io(&text(dir, "io.stat")?),
            (None, None) => {}
        }
        Ok(gauge)
    }

    fn gauge_cpu(&self, gauge: &mut Gauge) -> Result<(), Error> {
        let mut cpu = crate::CpuStats::default();
        match (self.legacy("cpuacct"), self.unified()) {
            (Some(dir), _) => {
                gauge.cpu = number(dir, "cpuacct.usage")?.unwrap_or(0);
                (gauge.cpu_user, gauge.cpu_system) = modes_legacy(dir)?;
                if let Some(dir) = self.legacy("cpu") {
                    throttling(dir, &mut cpu)?;
                }
            }
            (None, Some(dir)) => {
                let text = text(dir, "cpu.stat")?;
                let nanoseconds = |key| field(&text, key).unwrap_or(0) * 1000;
                gauge.cpu = nanoseconds("usage_usec");
                gauge.cpu_user = nanoseconds("user_usec");
                gauge.cpu_system = nanoseconds("system_usec");
                throttling_of(&text, &mut cpu);
            }
            (None, None) => {}
        }
        gauge.periods = cpu.periods;
        gauge.throttled_periods = cpu.throttled_periods;
        gauge.throttled = cpu.throttled;
        Ok(())
    }
}
