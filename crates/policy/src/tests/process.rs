//! The program, and programs of `exec`.

use super::*;
use crate::{ExecWish, exec_process};
use spec::docker::Ulimit;

#[test]
fn entry_point_and_command_are_one_line() {
    let mut ask = ask();
    ask.config.entrypoint = Some(Words(strings(&["/entry", "-x"])));
    assert_eq!(process(&ask.sandbox()).args, ["/entry", "-x", "sh"]);
    ask.config = Config::default();
    assert_eq!(ask.words(), "no command specified");
}

#[test]
fn variables_have_defaults_and_the_requests_win() {
    let mut ask = ask();
    ask.config.env = strings(&["PATH=/mine", "A=b=c", "HOSTNAME"]);
    ask.config.tty = true;
    assert_eq!(process(&ask.sandbox()).env, ["PATH=/mine", "TERM=xterm", "A=b=c", "HOME=/root"]);
    ask.config.env = strings(&["HOME=/elsewhere"]);
    assert!(process(&ask.sandbox()).env.contains(&"HOME=/elsewhere".to_owned()));
    ask.user.home = String::new();
    ask.config.env = vec![];
    assert!(process(&ask.sandbox()).env.contains(&"HOME=/".to_owned()));
}

#[test]
fn a_directory_to_work_in_is_absolute() {
    let mut ask = ask();
    assert_eq!(process(&ask.sandbox()).cwd, "/");
    ask.config.working_dir = "/srv".into();
    assert_eq!(process(&ask.sandbox()).cwd, "/srv");
    ask.config.working_dir = "srv".into();
    assert_eq!(
        ask.words(),
        "the working directory 'srv' is invalid, it needs to be an absolute path"
    );
}

#[test]
fn the_primary_group_is_among_the_others() {
    let mut ask = ask();
    ask.user = Identity { uid: 33, gid: 33, groups: vec![33, 4], home: String::new() };
    let sandbox = ask.sandbox();
    assert_eq!(process(&sandbox).user.additional_gids, [33, 4]);
}

#[test]
fn an_id_beyond_the_range_is_refused_where_there_is_a_range() {
    let mut ask = ask();
    ask.user.uid = 65_536;
    assert!(ask.words().contains("--userns=host"));
    ask.host_config.userns_mode = "host".into();
    assert_eq!(process(&ask.sandbox()).user.uid, 65_536);
}

#[test]
fn limits_of_the_program_are_read() {
    let limit = |name: &str, soft, hard| {
        let limit = Ulimit { name: name.into(), soft, hard };
        Ask::with(|config| config.ulimits = Some(vec![limit]))
    };
    let sandbox = limit("nofile", 10, 20).sandbox();
    assert_eq!(process(&sandbox).rlimits.len(), 1);
    assert_eq!((process(&sandbox).rlimits[0].soft, process(&sandbox).rlimits[0].hard), (10, 20));
    let sandbox = limit("core", -1, -1).sandbox();
    assert_eq!(process(&sandbox).rlimits[1].hard, u64::MAX);
    assert_eq!(limit("colour", 1, 1).words(), "invalid ulimit type: colour");
    assert_eq!(
        limit("core", 2, 1).words(),
        "ulimit soft limit must be less than or equal to hard limit: 2 > 1"
    );
    assert!(limit("core", -1, 5).words().contains("less than or equal"));
}

#[test]
fn the_oom_score_has_a_range() {
    assert_eq!(
        Ask::with(|config| config.oom_score_adj = 1001).words(),
        "Invalid value 1001, range for oom score adj is [-1000, 1000]"
    );
}

fn exec<'a>(user: &'a Identity, cmd: &'a [String]) -> ExecWish<'a> {
    ExecWish {
        user,
        env: &[],
        working_dir: "",
        cmd,
        tty: false,
        console_size: [0, 0],
        privileged: false,
    }
}

#[test]
fn another_program_is_as_confined_as_the_first() {
    let mut ask = ask();
    ask.config.env = strings(&["A=1"]);
    ask.config.working_dir = "/srv".into();
    ask.host_config.security_opt = Some(strings(&["no-new-privileges"]));
    let (sandbox, cmd) = (ask.sandbox(), strings(&["id"]));
    let process = exec_process(&sandbox, &exec(&ask.user, &cmd)).expect("makes sense");
    let own = super::process(&sandbox);
    assert_eq!(process.capabilities, own.capabilities);
    assert_eq!((process.no_new_privileges, process.cwd.as_str()), (true, "/srv"));
    assert_eq!(process.args, ["id"]);
    assert!(process.env.contains(&"A=1".to_owned()));
}

#[test]
fn another_program_can_have_another_user_and_terminal() {
    let (sandbox, cmd) = (ask().sandbox(), strings(&["id"]));
    let user = Identity { uid: 33, gid: 33, groups: vec![33], home: "/var/www".into() };
    let env = strings(&["X=y"]);
    let wish = ExecWish {
        env: &env,
        tty: true,
        console_size: [24, 80],
        working_dir: "/tmp",
        ..exec(&user, &cmd)
    };
    let process = exec_process(&sandbox, &wish).expect("makes sense");
    assert_eq!((process.user.uid, process.cwd.as_str(), process.terminal), (33, "/tmp", true));
    for variable in ["HOME=/var/www", "TERM=xterm", "X=y"] {
        assert!(process.env.contains(&variable.to_owned()), "{variable}");
    }
    assert_eq!(process.console_size.map(|size| (size.height, size.width)), Some((24, 80)));
    let sets = process.capabilities.expect("always there");
    assert_eq!((sets.effective.len(), sets.bounding.len()), (0, 12));
}

#[test]
fn a_privileged_exec_has_all_capabilities() {
    let (sandbox, cmd) = (ask().sandbox(), strings(&["id"]));
    let root = ask().user;
    let wish = ExecWish { privileged: true, ..exec(&root, &cmd) };
    let process = exec_process(&sandbox, &wish).expect("makes sense");
    let sets = process.capabilities.expect("always there");
    assert_eq!((sets.effective.len(), sets.inheritable.len()), (41, 0));
}

#[test]
fn an_exec_of_nothing_is_refused() {
    let sandbox = ask().sandbox();
    let refusal = exec_process(&sandbox, &exec(&ask().user, &[])).expect_err("must refuse");
    assert_eq!(refusal.to_string(), "No exec command specified");
    let beyond = Identity { uid: 70_000, ..Identity::default() };
    assert!(exec_process(&sandbox, &exec(&beyond, &strings(&["id"]))).is_err());
}
