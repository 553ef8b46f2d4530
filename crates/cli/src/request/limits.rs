//! Limits of resources.

use super::parse::bytes;
use crate::{
    error::{Error, Outcome},
    words::{Limits, RunFlags},
};
use spec::docker::{HostConfig, ThrottleDevice, Ulimit, WeightDevice};

/// Puts the limits that were given into the host's part of a request.
///
/// # Errors
/// For what is no size or number.
pub fn limits(flags: &Limits, host: &mut HostConfig) -> Outcome<()> {
    let size = |text: &Option<String>| {
        text.as_deref().map(bytes).transpose().map(Option::unwrap_or_default)
    };
    host.blkio_weight = flags.blkio_weight.unwrap_or(0);
    host.cpu_period = flags.cpu_period.unwrap_or(0);
    host.cpu_quota = flags.cpu_quota.unwrap_or(0);
    host.cpu_realtime_period = flags.cpu_rt_period.unwrap_or(0);
    host.cpu_realtime_runtime = flags.cpu_rt_runtime.unwrap_or(0);
    host.cpu_shares = flags.cpu_shares.unwrap_or(0);
    host.nano_cpus = flags.cpus.as_deref().map(nano_cpus).transpose()?.unwrap_or(0);
    host.cpuset_cpus = flags.cpuset_cpus.clone().unwrap_or_default();
    host.cpuset_mems = flags.cpuset_mems.clone().unwrap_or_default();
    host.memory = size(&flags.memory)?;
    host.memory_reservation = size(&flags.memory_reservation)?;
    host.memory_swap = size(&flags.memory_swap)?;
    host.pids_limit = flags.pids_limit;
    Ok(())
}

/// `1.5` is 1,500,000,000; no more than nine digits after the point.
fn nano_cpus(text: &str) -> Outcome<i64> {
    let bad = || Error::Words(format!("failed to parse {text:?} as a rational number of CPUs"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 9 {
        return Err(Error::Words("value is too precise".into()));
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(part)).ok_or_else(bad)
}

/// Weights and rates of single devices.
pub fn devices(flags: &RunFlags, host: &mut HostConfig) -> Outcome<()> {
    let rates = |list: &[String], sizes: bool| -> Outcome<Option<Vec<ThrottleDevice>>> {
        let parse = |text: &String| {
            let (path, rate) = device(text)?;
            let bad = |_| Error::Words(format!("invalid rate for device: {text}"));
            let rate = if sizes {
                u64::try_from(bytes(rate)?).map_err(bad)?
            } else {
                rate.parse()
                    .map_err(|_| Error::Words(format!("invalid rate for device: {text}")))?
            };
            Ok(ThrottleDevice { path: path.to_owned(), rate })
        };
        if list.is_empty() {
            Ok(None)
        } else {
            list.iter().map(parse).collect::<Result<_, _>>().map(Some)
        }
    };
    host.blkio_device_read_bps = rates(&flags.device_read_bps, true)?;
    host.blkio_device_write_bps = rates(&flags.device_write_bps, true)?;
    host.blkio_device_read_iops = rates(&flags.device_read_iops, false)?;
    host.blkio_device_write_iops = rates(&flags.device_write_iops, false)?;
    if !flags.blkio_weight_device.is_empty() {
        let parse = |text: &String| {
            let (path, weight) = device(text)?;
            let bad = |_| Error::Words(format!("invalid weight for device: {text}"));
            Ok(WeightDevice { path: path.to_owned(), weight: weight.parse().map_err(bad)? })
        };
        host.blkio_weight_device =
            Some(flags.blkio_weight_device.iter().map(parse).collect::<Outcome<_>>()?);
    }
    Ok(())
}

fn device(text: &str) -> Outcome<(&str, &str)> {
    let bad = || Error::Words(format!("bad format for device path: {text:?}"));
    text.split_once(':').filter(|(path, _)| path.starts_with("/dev/")).ok_or_else(bad)
}

/// `NAME=SOFT[:HARD]`.
pub fn ulimits(list: &[String], host: &mut HostConfig) -> Outcome<()> {
    let parse = |text: &String| {
        let bad = || Error::Words(format!("invalid ulimit argument: {text}"));
        let (name, values) = text.split_once('=').ok_or_else(bad)?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let number =
            |word: &str| if word == "unlimited" { Ok(-1) } else { word.parse().map_err(|_| bad()) };
        let (soft, hard): (i64, i64) = (number(soft)?, number(hard)?);
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(Error::Words(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        Ok(Ulimit { name: name.to_owned(), soft, hard })
    };
    if !list.is_empty() {
        host.ulimits = Some(list.iter().map(parse).collect::<Outcome<_>>()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted_in_billionths() {
        assert_eq!(nano_cpus("1.5").expect("valid"), 1_500_000_000);
        assert_eq!(nano_cpus(".25").expect("valid"), 250_000_000);
        assert!(nano_cpus("two").is_err() && nano_cpus("0.1234567891").is_err());
    }

    #[test]
    fn a_soft_limit_is_at_most_the_hard_one() {
        let mut host = HostConfig::default();
        assert!(ulimits(&["nofile=20:10".into()], &mut host).is_err());
        ulimits(&["nofile=10:20".into(), "core=0".into()], &mut host).expect("valid");
        assert_eq!(host.ulimits.expect("two")[1].hard, 0);
    }
}
