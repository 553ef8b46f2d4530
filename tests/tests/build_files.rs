//! BUILD: what `COPY`, `ADD` and mounts bring into an image, and what a
//! hostile context does not.

use promises::{
    Cli, Engine,
    kitchen::{BOTH, Context, Serving},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

#[test]
fn build5_copies_with_every_flag() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("a/one.txt", "1").file("a/two.md", "2").file("a/sub/three.txt", "3");
    context.file("b.txt", "b").file("c.md", "c");
    symlink("one.txt", context.dir.join("a/link")).expect("symlink");
    fs::set_permissions(context.dir.join("b.txt"), fs::Permissions::from_mode(0o640))
        .expect("chmod");
    context.dockerfile(
        "FROM busybox
COPY a /plain
COPY a/ /there/
COPY --chown=user:staff --chmod=751 b.txt /owned
COPY --chown=1234 --chmod=u=rwX,go=rX a /numbers
COPY --exclude=*.md --exclude=sub a /some
COPY --parents a/sub/three.txt b.txt /parents/
COPY --parents a/./sub/three.txt /pivot/
COPY ?.txt [c].md /many/
COPY --link b.txt /linked/
COPY <<one <<'two' /docs/
$PATH
one
$PATH
two
WORKDIR /wd
COPY b.txt sub/
COPY b.txt .
RUN <<END
echo first > /h
echo second >> /h
END
",
    );
    let script = "
        cat /plain/sub/three.txt /there/one.txt && readlink /plain/link
        stat -c '%a %u %g %n' /owned /numbers /numbers/one.txt /numbers/sub /plain/one.txt
        find /some /parents /pivot /many /linked /wd -type f | sort
        cat /docs/one /docs/two /h";
    let expected = "31one.txt
751 1000 50 /owned
755 1234 1234 /numbers
644 1234 1234 /numbers/one.txt
755 1234 1234 /numbers/sub
644 0 0 /plain/one.txt
/linked/b.txt
/many/b.txt
/many/c.md
/parents/a/sub/three.txt
/parents/b.txt
/pivot/sub/three.txt
/some/one.txt
/wd/b.txt
/wd/sub/b.txt
/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$PATH
first
second";
    for cli in BOTH {
        context.builds(cli, &["--no-cache", "-t", "a"]);
        assert_eq!(engine.says(&["run", "--rm", "a", "sh", "-c", script]), expected, "{cli:?}");
    }
    engine.leaves_nothing();
}

#[test]
fn build6_adds_archives_and_downloads() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("in/x", "from an archive").file("not.tar.gz", "no archive");
    let dir = context.dir.display().to_string();
    engine.host().says(&format!(
        "cd {dir} && chown -R 7:8 in && tar -cf plain.tar in && gzip -k plain.tar && zstd -q plain.tar -o z.tar.zst \
         && bzip2 -k plain.tar && xz -k plain.tar && mkdir web && echo web > web/page && rm -r in"
    ));
    let mut web = Serving::start(&engine, &context.dir.join("web"));
    let port = web.port();
    let sum = engine.host().says(&format!("sha256sum < {dir}/web/page"));
    let sum = sum.split(' ').next().expect("a sum");
    let text = |sum: &str| {
        format!(
            "FROM busybox
ADD plain.tar /p/
ADD plain.tar.gz /g/
ADD z.tar.zst /z/
ADD plain.tar.bz2 /b/
ADD plain.tar.xz /x/
ADD not.tar.gz /n/
COPY plain.tar /c/
ADD --checksum=sha256:{sum} http://127.0.0.1:{port}/page /web/
"
        )
    };
    context.dockerfile(&text(sum));
    context.builds(Cli::Docker, &["-t", "a"]);
    let script = "cat /p/in/x; stat -c ' %u %g' /p/in/x; cat /g/in/x /z/in/x /b/in/x /x/in/x /n/not.tar.gz; ls /c; cat /web/page; stat -c %a /web/page";
    let expected = format!(
        "from an archive 7 8\n{}no archiveplain.tar\nweb\n600",
        "from an archive".repeat(4)
    );
    assert_eq!(engine.says(&["run", "--rm", "a", "sh", "-c", script]), expected);
    context.dockerfile(&text(&"0".repeat(64)));
    let wrong = context.fails(Cli::Docker, &[]);
    assert!(wrong.contains("digest mismatch"), "{wrong}");
    web.stop();
    engine.leaves_nothing();
}

#[test]
fn build7_mounts_are_there_for_the_step_alone() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("src/in", "context").file("secret", "s3cret");
    context.dockerfile(
        "FROM busybox
ARG N=0
RUN --mount=type=bind,source=src,target=/m cat /m/in && ! touch /m/x
RUN --mount=type=bind,source=src,target=/m,rw touch /m/x
RUN --mount=type=bind,source=src,target=/m ! ls /m/x
RUN --mount=type=cache,target=/cache,mode=0700 echo $N >> /cache/seen && cp /cache/seen /seen
RUN --mount=type=tmpfs,target=/t,size=1m grep -q ' /t tmpfs' /proc/mounts && touch /t/x
RUN --mount=type=secret,id=one cp /run/secrets/one /tmp/was || true
RUN --mount=type=secret,id=one,env=ONE test -n \"$ONE\" && touch /had || true
",
    );
    for (number, seen) in [("1", "1"), ("2", "1\n2")] {
        let arg = format!("N={number}");
        let said = context.builds(Cli::Docker, &["--build-arg", &arg, "-t", "a"]);
        assert!(number == "2" || said.contains("\ncontext"), "{said}");
        let script = "cat /seen; ls -d /m /cache /t /run/secrets /tmp/was /had 2>/dev/null";
        assert_eq!(engine.run(&["run", "--rm", "a", "sh", "-c", script]).out, seen);
    }
    let secret = format!("id=one,src={}", context.dir.join("secret").display());
    context.builds(Cli::Cofferdam, &["--no-cache", "--secret", &secret, "-t", "b"]);
    let script = "cat /tmp/was; ls -d /had; ls -d /run/secrets 2>/dev/null";
    assert_eq!(engine.run(&["run", "--rm", "b", "sh", "-c", script]).out, "s3cret/had");
    context.dockerfile("FROM busybox\nRUN --mount=type=secret,id=x,required true\n");
    let said = context.fails(Cli::Docker, &[]);
    assert!(said.contains("secret x: not found"), "{said}");
    engine.leaves_nothing();
}

#[test]
fn build9_a_hostile_context_reaches_nothing_outside() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    let outside = engine.scratch().join("outside");
    fs::create_dir(&outside).expect("scratch");
    fs::write(outside.join("secret"), "the host's").expect("scratch");
    // Links that lead out of the context lead back into it.
    symlink(&outside, context.dir.join("out")).expect("symlink");
    symlink(outside.join("secret"), context.dir.join("file")).expect("symlink");
    symlink("../../../../../../etc/passwd", context.dir.join("up")).expect("symlink");
    for text in ["COPY out/secret /x", "COPY out/ /x/", "COPY file /x", "COPY up /x", "ADD up /x"] {
        context.dockerfile(&format!("FROM busybox\n{text}\n"));
        let said = context.fails(Cli::Docker, &[]);
        assert!(said.contains("failed"), "{text}: {said}");
    }
    context.dockerfile("FROM busybox\nRUN --mount=type=bind,source=out,target=/m cat /m/secret\n");
    context.fails(Cli::Docker, &[]);
    // Links of the image stay in the image.
    context.file("f", "planted").dockerfile(&format!(
        "FROM busybox
RUN ln -s {0} /link && ln -s {0}/secret /file && mkdir -p /real && ln -s /real /dir
COPY f /link/f
COPY f /file
COPY f /dir/
RUN cat {0}/f /file /real/f
",
        outside.display()
    ));
    let said = context.builds(Cli::Docker, &[]);
    assert!(said.contains("plantedplantedplanted"), "{said}");
    let names: Vec<_> = fs::read_dir(&outside).expect("there").flatten().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read_to_string(outside.join("secret")).expect("there"), "the host's");
    // An archive that climbs, or writes through a link that it brought.
    let evil = engine.scratch().join("evil.py");
    fs::write(
        &evil,
        "import io, sys, tarfile
kind, outside = sys.argv[1:]
tar = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')
def add(name, text=b'', link=None):
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    if link: entry.type, entry.linkname = tarfile.SYMTYPE, link
    tar.addfile(entry, io.BytesIO(text))
add('Dockerfile', b'FROM busybox\\nCOPY . /x\\n')
if kind == 'climb': add('../../../../../../..' + outside + '/evil', b'evil')
if kind == 'link':
    add('l', link=outside)
    add('l/evil', b'evil')
tar.close()
",
    )
    .expect("scratch");
    for kind in ["climb", "link"] {
        let tar = engine.scratch().join(format!("{kind}.tar"));
        let script =
            format!("python3 {} {kind} {} > {}", evil.display(), outside.display(), tar.display());
        engine.host().says(&script);
        let mut command = engine.command(Cli::Docker, &["build", "-"]);
        command.env("DOCKER_BUILDKIT", "0").stdin(fs::File::open(&tar).expect("made"));
        let _ = command.output().expect("runs");
        assert!(!outside.join("evil").exists(), "{kind}");
    }
    engine.leaves_nothing();
}
