//! Everything at once for a while: one answer for each request, and nothing that grows.

use crate::fixture::program;
use crate::harness::{signal, until};
use crate::server::Server;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long, in seconds, if `NEXUS_SOAK_S` doesn't say.
const SOAK_S: u64 = 12;

/// What the memory of the server may grow by, in KiB: its buffers and its journal, once full.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn nothing_is_lost_and_nothing_leaks() {
    let program = program(2);
    let server = Server::start(&program);
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.tell(&["call", "prog", "add", "1", "2"]);
    until("it is at rest", || server.children().len() == 1);
    let (descriptors, memory) = (server.descriptors(), server.memory_kib());
    let seconds = std::env::var("NEXUS_SOAK_S")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SOAK_S));
    let is_over = AtomicBool::new(false);
    let (good, ended, hung_up) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let (server, is_over) = (&server, &is_over);
            let (good, ended, hung_up) = (&good, &ended, &hung_up);
            scope.spawn(move || {
                let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut client = server.connect();
                while !is_over.load(Ordering::Relaxed) {
                    let a = numbers.below(1000);
                    let id = format!("X-Request-Id: {seed}-{a}\r\n");
                    match numbers.below(20) {
                        0 => {
                            // Hangs up in the middle of a call.
                            let headers = "X-Request-Timeout-Ms: 700\r\n";
                            client.ask("GET", "/v1/call/default/prog/hang?name=soak", headers, b"");
                            client = server.connect();
                            hung_up.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        1 => {
                            client.ask(
                                "GET",
                                "/v1/call/default/prog/steps?n=50",
                                "Accept: text/event-stream\r\n",
                                b"",
                            );
                            let answer = client.answer();
                            let text = answer.text();
                            assert!(
                                text.contains("event: result")
                                    || text.contains("event: error")
                                    || answer.status >= 500,
                                "{text}"
                            );
                            continue;
                        }
                        2 => client.ask("GET", "/v1/call/default/prog/fail?text=no", &id, b""),
                        _ => {
                            let target = format!("/v1/call/default/prog/add?a={a}&b=1");
                            client.ask("GET", &target, &id, b"");
                        }
                    }
                    let answer = client.answer();
                    assert_eq!(
                        answer.header("x-request-id"),
                        Some(&id[14..id.len() - 2]),
                        "one answer for each request"
                    );
                    match answer.status {
                        200 => {
                            answer.check(200, &[&(a + 1).to_string()]);
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        // It raises, its worker was killed, or its pool is about to be started again.
                        500 | 502 | 503 => {
                            ended.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => answer.check(200, &[]),
                    }
                }
            });
        }
        // The private socket.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let called = server.tool(&["call", "prog", "add", "20", "3"]);
                if called.status.success() {
                    assert_eq!(called.stdout, b"23\n");
                    good.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut numbers = Numbers(7);
        let mut killed = 0;
        while Instant::now() < end {
            thread::park_timeout(Duration::from_millis(1500 + numbers.below(1500)));
            let workers = program.processes();
            let chosen = numbers.below(workers.len().max(1) as u64) as usize;
            // A worker, not the pool: that one is left alone if it dies too often.
            if let Some(pid) = workers.get(chosen)
                && !server.children().contains(pid)
            {
                signal(*pid, "KILL");
                killed += 1;
            }
        }
        assert!(killed > 0, "there was no worker to kill");
        is_over.store(true, Ordering::Relaxed);
    });
    let good = good.load(Ordering::Relaxed);
    let (ended, hung_up) = (ended.load(Ordering::Relaxed), hung_up.load(Ordering::Relaxed));
    eprintln!(
        "{good} answers, {ended} errors, {hung_up} hang-ups; memory from {memory} to {} KiB",
        server.memory_kib()
    );
    assert!(good > 100 && hung_up > 0);
    until("it serves again", || server.call("add", "[1, 2]").status == 200);
    until("descriptors are back", || server.descriptors() <= descriptors + 1);
    until("processes are back", || server.children().len() == 1);
    let grown = server.memory_kib().saturating_sub(memory);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    server.stop();
}
