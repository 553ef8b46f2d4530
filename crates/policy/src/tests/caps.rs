//! `--cap-add`, `--cap-drop`, `--privileged`.

use super::*;

fn asked(add: &[&str], drop: &[&str]) -> Ask {
    Ask::with(|config| {
        config.cap_add = Some(strings(add));
        config.cap_drop = Some(strings(drop));
    })
}

#[test]
fn a_name_is_taken_in_every_spelling() {
    for name in ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_Net_Admin"] {
        assert!(bounding(&asked(&[name], &[]).sandbox()).contains(&"CAP_NET_ADMIN"), "{name}");
    }
}

#[test]
fn all_but_one() {
    let sandbox = asked(&["ALL"], &["SYS_MODULE"]).sandbox();
    assert_eq!(bounding(&sandbox).len(), 40);
    assert!(!bounding(&sandbox).contains(&"CAP_SYS_MODULE"));
}

#[test]
fn none_but_one() {
    assert_eq!(
        bounding(&asked(&["NET_BIND_SERVICE"], &["ALL"]).sandbox()),
        ["CAP_NET_BIND_SERVICE"]
    );
    assert_eq!(bounding(&asked(&[], &["all"]).sandbox()), [""; 0]);
}

#[test]
fn dropping_takes_from_the_default() {
    assert!(!bounding(&asked(&[], &["NET_RAW"]).sandbox()).contains(&"CAP_NET_RAW"));
}

#[test]
fn an_unknown_name_is_refused_in_dockers_words() {
    assert_eq!(asked(&["FLY"], &[]).words(), "invalid CapAdd: unknown capability: \"CAP_FLY\"");
    assert_eq!(asked(&[], &["CAP_X"]).words(), "invalid CapDrop: unknown capability: \"CAP_X\"");
}

#[test]
fn a_capability_without_power_is_refused_not_pretended() {
    let words = asked(&["SYS_TIME"], &[]).words();
    assert!(words.starts_with("CAP_SYS_TIME acts on the whole machine"), "{words}");
    let mut with_hosts_ids = asked(&["SYS_TIME"], &[]);
    with_hosts_ids.host_config.userns_mode = "host".into();
    assert!(bounding(&with_hosts_ids.sandbox()).contains(&"CAP_SYS_TIME"));
}

#[test]
fn with_the_hosts_ids_the_set_is_dockers() {
    let sandbox = Ask::with(|config| config.userns_mode = "host".into()).sandbox();
    assert_eq!(bounding(&sandbox).len(), 14);
    assert!(bounding(&sandbox).contains(&"CAP_AUDIT_WRITE"));
    assert!(bounding(&sandbox).contains(&"CAP_MKNOD"));
}

#[test]
fn a_user_who_is_not_root_has_none_but_what_set_id_programs_may_give() {
    let mut user = ask();
    user.user.uid = 33;
    let sandbox = user.sandbox();
    let sets = process(&sandbox).capabilities.clone().expect("always there");
    assert_eq!((sets.effective.len(), sets.permitted.len(), sets.ambient.len()), (0, 0, 0));
    assert_eq!(sets.bounding.len(), 12);
}

#[test]
fn privileged_has_all() {
    let sandbox = Ask::with(|config| {
        config.privileged = true;
        config.cap_drop = Some(strings(&["ALL"]));
    })
    .sandbox();
    assert_eq!(bounding(&sandbox).len(), 41);
}
