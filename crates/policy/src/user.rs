//! Whom a container's program runs as: names and numbers looked up in the
//! container's own `passwd` and `group`, which the engine reads as text.
//!
//! Both files are the image's and prove nothing; a line that is not as it
//! should be is passed over. Numbers are decimal digits and at most
//! `i32::MAX`: nothing wraps around to root.

use crate::Refusal;

/// A user of a container, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As the container sees it.
    pub uid: u32,
    /// As the container sees it.
    pub gid: u32,
    /// Supplementary groups; the primary one is among them.
    pub groups: Vec<u32>,
    /// For `HOME`; empty if the image names none.
    pub home: String,
}

/// As Docker's range of ids.
const LARGEST: u32 = i32::MAX as u32;

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Reads `user` (`name`, `uid`, `name:group`, `uid:gid`, …) by the contents of
/// the container's `/etc/passwd` and `/etc/group` (empty if it has none).
///
/// Supplementary groups are those that list the user, unless a group was
/// named, and those of `group_add`.
///
/// # Errors
/// A [`Refusal`] for a name that is not there and a number out of range.
pub fn resolve(
    user: &str,
    passwd: &str,
    group: &str,
    group_add: &[String],
) -> Result<Identity, Refusal> {
    let (user_word, group_word) = match user.split_once(':') {
        Some((user, group)) => (user, group),
        None => (user, ""),
    };
    if group_word.contains(':') {
        return Err(Refusal::invalid(format!("invalid user {user:?}: more than one colon")));
    }
    let number = number(user_word)?;
    let known = users(passwd).find(|known| match number {
        Some(uid) => known.uid == uid,
        None if user_word.is_empty() => known.uid == 0,
        None => known.name == user_word,
    });
    let mut identity = match (&known, number) {
        (Some(known), _) => Identity {
            uid: known.uid,
            gid: known.gid,
            groups: Vec::new(),
            home: known.home.to_owned(),
        },
        (None, Some(uid)) => Identity { uid, ..Identity::default() },
        (None, None) if user_word.is_empty() => Identity::default(),
        (None, None) => {
            return Err(Refusal::invalid(format!(
                "unable to find user {user_word}: no matching entries in passwd file"
            )));
        }
    };
    if !group_word.is_empty() {
        identity.gid = find_group(group_word, group)?;
    }
    identity.groups.push(identity.gid);
    if group_word.is_empty()
        && let Some(known) = known
    {
        let listed = groups(group).filter(|g| g.members.split(',').any(|name| name == known.name));
        identity.groups.extend(listed.map(|group| group.gid));
    }
    for word in group_add {
        identity.groups.push(find_group(word, group)?);
    }
    // The first place stays the primary group's.
    let all = std::mem::take(&mut identity.groups);
    for gid in all {
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(identity)
}

fn find_group(word: &str, group: &str) -> Result<u32, Refusal> {
    if let Some(gid) = number(word)? {
        return Ok(gid);
    }
    groups(group).find(|group| group.name == word).map(|group| group.gid).ok_or_else(|| {
        Refusal::invalid(format!("unable to find group {word}: no matching entries in group file"))
    })
}

/// Digits alone are a number; anything else is a name.
fn number(word: &str) -> Result<Option<u32>, Refusal> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = word.parse().ok().filter(|number| *number <= LARGEST);
    number.map(Some).ok_or_else(|| {
        Refusal::invalid(format!("uids and gids must be in range 0-{LARGEST}: {word}"))
    })
}

fn id(field: &str) -> Option<u32> {
    number(field).ok().flatten()
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (_password, uid, gid) = (fields.next()?, id(fields.next()?)?, id(fields.next()?)?);
        let (_gecos, home) = (fields.next()?, fields.next().unwrap_or_default());
        Some(User { name, uid, gid, home })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (_password, gid) = (fields.next()?, id(fields.next()?)?);
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        broken:x:notanumber:5:::\n\
        huge:x:4294967296:0::/huge:\n\
        www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
        1001:x:77:77::/odd:\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nadm:x:4:root,www-data\nssl:x:101:www-data\n";

    fn ask(user: &str) -> Result<Identity, Refusal> {
        resolve(user, PASSWD, GROUP, &[])
    }

    fn words(user: &str) -> String {
        ask(user).expect_err("must refuse").to_string()
    }

    #[test]
    fn nobody_named_is_root_with_its_groups() {
        let root = ask("").expect("always there");
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/root"));
        assert_eq!(root.groups, [0, 4]);
    }

    #[test]
    fn a_name_brings_its_groups_and_the_primary_one_is_first() {
        let user = ask("www-data").expect("listed");
        assert_eq!((user.uid, user.gid), (33, 33));
        assert_eq!(user.groups, [33, 4, 101]);
        assert_eq!(user.home, "/var/www");
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        assert_eq!(ask("www-data:adm").expect("listed").groups, [4]);
        assert_eq!(ask("33:101").expect("numbers").gid, 101);
    }

    #[test]
    fn a_number_without_an_entry_stands_for_itself_in_the_root_group() {
        let user = ask("1234").expect("any number");
        assert_eq!((user.uid, user.gid, user.home.as_str()), (1234, 0, ""));
        assert_eq!(user.groups, [0]);
    }

    #[test]
    fn digits_are_a_number_even_where_a_name_has_the_same_spelling() {
        assert_eq!(ask("1001").expect("a number").uid, 1001);
    }

    #[test]
    fn odd_numbers_never_become_another_user() {
        for user in ["-1", "+0", " 0", "0x0", "0 ", "٣", "1e3"] {
            assert_eq!(
                words(user),
                format!("unable to find user {user}: no matching entries in passwd file")
            );
        }
        for user in ["4294967296", "2147483648", "18446744073709551616", "0:4294967296"] {
            assert!(words(user).starts_with("uids and gids must be in range 0-2147483647"));
        }
        assert!(words("0:0:0").contains("more than one colon"));
    }

    #[test]
    fn an_entry_out_of_range_is_no_entry() {
        assert!(words("huge").starts_with("unable to find user huge"));
        assert!(words("broken").starts_with("unable to find user broken"));
    }

    #[test]
    fn groups_are_added_by_name_and_number_once() {
        let add = ["ssl".to_owned(), "44".to_owned(), "4".to_owned()];
        let user = resolve("www-data", PASSWD, GROUP, &add).expect("listed");
        assert_eq!(user.groups, [33, 4, 101, 44]);
        let refused = resolve("", PASSWD, GROUP, &["video".to_owned()]).expect_err("not there");
        assert_eq!(
            refused.to_string(),
            "unable to find group video: no matching entries in group file"
        );
    }

    #[test]
    fn without_files_root_and_numbers_still_work() {
        assert_eq!(resolve("", "", "", &[]).expect("root").groups, [0]);
        assert_eq!(resolve("5:6", "", "", &[]).expect("numbers").gid, 6);
        assert!(resolve("daemon", "", "", &[]).is_err());
    }
}
