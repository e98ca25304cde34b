//! Programs that are replaced while they are called: no call fails, and what is broken replaces nothing.

use crate::fixture::{has_told, manifest, open_gate, program, write};
use crate::harness::{NEXUS, until};
use crate::server::Server;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients that call all the time.
const CLIENTS: usize = 4;

/// Calls in a tight loop from several connections while `work` is done: how many there were. Every one must be answered.
fn under_load(server: &Server, work: impl FnOnce()) -> usize {
    let is_over = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = server.connect();
                while !is_over.load(Ordering::Relaxed) {
                    client.ask("GET", "/v1/call/default/prog/add?a=40&b=2", "", b"");
                    let answer = client.answer();
                    if answer.status != 200 || !answer.text().starts_with("42") {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    answer.check(200, &["42"]);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        work();
        is_over.store(true, Ordering::Relaxed);
    });
    calls.load(Ordering::Relaxed)
}

/// As many reloads as `NEXUS_RELOADS` says, or as fit into eight seconds.
#[test]
fn no_call_fails_while_its_program_is_reloaded() {
    let program = program(1);
    let server = Server::start(&program);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let most = std::env::var("NEXUS_RELOADS")
        .ok()
        .and_then(|text| text.parse().ok());
    let begun = Instant::now();
    let mut reloads = 0_u64;
    let calls = under_load(&server, || {
        while most.map_or_else(|| begun.elapsed() < Duration::from_secs(8), |most| reloads < most) {
            reloads += 1;
            write(&program, 1, reloads + 1);
            server.tell(&["reload", "prog"]);
        }
    });
    let last = (reloads + 1).to_string();
    until("the last one serves", || {
        server.call("generation", "[]").text().trim() == last
    });
    eprintln!(
        "{reloads} reloads in {:?} under {calls} calls, none failed",
        begun.elapsed()
    );
    assert!(reloads >= 3 && calls > 100, "{reloads} reloads, {calls} calls");
    until("what was replaced is gone", || server.children().len() <= 2);
    server.stop();
}

#[test]
fn what_is_broken_replaces_nothing() {
    let program = program(1);
    let server = Server::start(&program);
    server.call("generation", "[]").check(200, &["1"]);
    let list = || server.tell(&["list", "--format", "json"]);
    for (text, reason) in [
        ("{\"version\": 1, ", "manifest"),
        (
            &manifest("/no/such/interpreter", 1) as &str,
            "/no/such/interpreter",
        ),
    ] {
        let calls = under_load(&server, || {
            program.file("prog.manifest", text);
            let reloaded = server.tool(&["reload", "prog"]);
            assert!(!reloaded.status.success());
        });
        assert!(calls > 0);
        let listed = list();
        assert!(
            listed.contains("ready") && listed.contains("last_error"),
            "{listed}"
        );
        assert!(listed.contains(reason), "{listed}");
        server.call("generation", "[]").check(200, &["1"]);
    }
    write(&program, 1, 2);
    server.tell(&["reload", "prog"]);
    server.call("generation", "[]").check(200, &["2"]);
    assert!(!list().contains("/no/such/interpreter"), "{}", list());
    server.stop();
}

#[test]
fn a_program_that_is_built_again_is_loaded_by_itself() {
    let program = program(1);
    let server = Server::start(&program);
    server.call("generation", "[]").check(200, &["1"]);
    for generation in 2..4 {
        let calls = under_load(&server, || {
            write(&program, 1, generation);
            // As `nexus build` does it: written beside, then renamed.
            let manifest = program.dir.join("prog.manifest");
            let beside = program.dir.join("prog.manifest.new");
            fs::copy(&manifest, &beside).unwrap();
            fs::rename(&beside, &manifest).unwrap();
            let expected = generation.to_string();
            until("the new one serves", || {
                server.call("generation", "[]").text().trim() == expected
            });
        });
        assert!(calls > 0);
    }
    server.stop();
}

#[test]
fn names_are_free_again_from_every_state() {
    let program = program(1);
    let server = Server::start(&program);
    let path = program.path().display().to_string();
    let deploy = |source: &str| server.tool(&["deploy", source, "--name", "other"]);
    let call = || server.ask("GET", "/v1/call/default/other/add?a=1&b=2", "", b"");
    // Ready, deleted, deployed again, and twice over itself.
    for _ in 0..2 {
        assert!(deploy(&path).status.success());
        call().check(200, &["3"]);
        server.tell(&["delete", "other"]);
        call().check(404, &["not_found"]);
    }
    for _ in 0..2 {
        assert!(deploy(&path).status.success());
    }
    server.tell(&["delete", "other"]);
    // Failed: deleted, and replaced.
    let broken = program.dir.join("broken.manifest");
    fs::write(&broken, "{").unwrap();
    let broken = broken.display().to_string();
    assert!(!deploy(&broken).status.success());
    assert!(matches!(call().status, 422 | 503), "{}", call().text());
    server.tell(&["delete", "other"]);
    assert!(!deploy(&broken).status.success());
    assert!(deploy(&path).status.success());
    call().check(200, &["3"]);
    // Draining: what runs in the one that is deleted is answered, and the name is free meanwhile.
    let mut held = server.connect();
    held.ask("GET", "/v1/call/default/other/gate?name=drained", "", b"");
    until("the call has begun", || has_told(&program, "drained.began"));
    server.tell(&["delete", "other"]);
    assert!(deploy(&path).status.success());
    call().check(200, &["3"]);
    open_gate(&program, "drained");
    held.answer().check(200, &["through drained"]);
    // While it loads: a lazy one is deleted before its first call.
    server.tell(&["delete", "other"]);
    server.tell(&["deploy", &path, "--name", "other", "--lazy"]);
    server.tell(&["delete", "other"]);
    call().check(404, &["not_found"]);
    server.stop();
}

/// Also a build that changes nothing but the code of a function.
#[test]
fn a_build_reloads_what_is_served() {
    let program = program(1);
    let built = program.dir.join("sums");
    let build = |shift: u32| {
        fs::create_dir_all(program.dir.join("source")).unwrap();
        program.file(
            "source/sums.loc",
            "module sums (shifted)\nsource Py from \"sums.py\" (\"shifted\")\n",
        );
        let code = format!("def shifted(n: int) -> int:\n    return n + {shift}\n");
        program.file("source/sums.py", &code);
        let words = [
            Path::new("build"),
            &program.dir.join("source"),
            Path::new("-o"),
            &built,
        ];
        let made = program.command_of(Path::new(NEXUS), &words).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    build(1);
    let server = Server::start_with(&program, |command| {
        command.arg(&built);
    });
    let call = || server.ask("GET", "/v1/call/default/sums/shifted?n=40", "", b"");
    call().check(200, &["41"]);
    for shift in 2..4 {
        build(shift);
        let expected = (40 + shift).to_string();
        until("the new one serves", || {
            let answer = call();
            answer.check(200, &[]);
            answer.text().trim() == expected
        });
    }
    server.stop();
}
