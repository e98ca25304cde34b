//! Deployments by short scripts: what is done to them, and what comes of it.

use super::{DeploymentId, Deployments, Effect, Name, PoolState, Start, State};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use std::collections::BTreeMap;

/// Words of a script: `a=x` deploys source x as a, `a~x` the same for when it is called, `a!` reloads, `a-` deletes, `a?` calls;
/// `ok1` and `bad1` answer the load of generation 1, `gone1` its unload; `end1` ends call 1, `quit1` gives it up; `down1`,
/// `left1` and `up1` tell of a pool of generation 1, left for 10 s; `x*7` tells that the files of x have fingerprint 7 now;
/// `+9` lets 9 ms pass; `drain` and `kill` end the server.
///
/// What comes of it: `+1:x` and `-1` or `!1` ask to load generation 1 and to unload it, at once with `!`; `1=ready` is its new
/// state; call 1 begins at a generation, `c1@1`, waits, `c1.`, or is refused, `c1:unavailable`, with the wait in ms, if known.
struct Stage {
    deployments: Deployments,
    now_ms: u64,
    generations: Vec<DeploymentId>,
    /// Where calls run.
    calls: BTreeMap<u64, DeploymentId>,
    last_call: u64,
    said: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            deployments: Deployments::new(),
            now_ms: 0,
            generations: Vec::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            said: Vec::new(),
        }
    }

    fn label(&mut self, id: DeploymentId) -> usize {
        let known = self.generations.iter().position(|known| *known == id);
        known.unwrap_or_else(|| {
            self.generations.push(id);
            self.generations.len() - 1
        }) + 1
    }

    fn say(&mut self, what: String) {
        self.said.push(what);
    }

    fn expect_ok<T>(&mut self, done: Result<T>) {
        if let Err(error) = done {
            self.say(error.kind.name().to_string());
        }
    }

    fn play(&mut self, word: &str) {
        let digits = word.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let number: usize = digits.parse().unwrap_or(0);
        let verb = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let id = number
            .checked_sub(1)
            .and_then(|at| self.generations.get(at).copied());
        let id = id.unwrap_or(DeploymentId::from_raw(u64::MAX));
        let now_ms = self.now_ms;
        let name = |text: &str| Name::parse(text).unwrap();
        let all = &mut self.deployments;
        match verb {
            "ok" => all.handle_loaded(id, 0, now_ms),
            "bad" => all.handle_load_failed(id, 0, Error::new(Kind::Manifest, "it is bad"), now_ms),
            "gone" => all.handle_unloaded(id, now_ms),
            "end" => {
                let id = self.calls.remove(&(number as u64)).expect("it runs");
                all.end_call(id, now_ms);
            }
            "quit" => all.give_up(number as u64, now_ms),
            "down" => all.handle_pool_state(id, PoolId(0), PoolState::Down, now_ms),
            "left" => all.handle_pool_state(id, PoolId(0), PoolState::LeftAlone(now_ms + 10_000), now_ms),
            "up" => all.handle_pool_state(id, PoolId(0), PoolState::Up, now_ms),
            "+" => {
                let until_ms = now_ms + number as u64;
                while let Some(at_ms) = self.deployments.next_deadline().filter(|at| *at <= until_ms) {
                    self.now_ms = at_ms;
                    self.deployments.handle_timeout(at_ms);
                    self.settle();
                }
                self.now_ms = until_ms;
            }
            "drain" => all.drain(1000, now_ms),
            "kill" => all.terminate(now_ms),
            _ if word.contains('*') => {
                let (source, fingerprint) = word.split_once('*').unwrap();
                all.handle_changed(source, fingerprint.parse().unwrap(), now_ms);
            }
            _ if word.contains('=') || word.contains('~') => {
                let at = word.find(['=', '~']).unwrap();
                let start = match &word[at..=at] {
                    "=" => Start::AtOnce,
                    _ => Start::OnCall,
                };
                let done = all.deploy(name(&word[..at]), word[at + 1..].to_string(), start, now_ms);
                self.expect_ok(done);
            }
            _ if word.ends_with('!') => {
                let done = all.reload(&name(&word[..word.len() - 1]), now_ms);
                self.expect_ok(done);
            }
            _ if word.ends_with('-') => {
                let done = all.delete(&name(&word[..word.len() - 1]), now_ms);
                self.expect_ok(done);
            }
            _ if word.ends_with('?') => {
                self.last_call += 1;
                let token = self.last_call;
                let begun = all.begin_call(&name(&word[..word.len() - 1]), token, now_ms);
                match begun {
                    Ok(None) => self.say(format!("c{token}.")),
                    Ok(Some(id)) => self.begin(token, id),
                    Err(refusal) => self.refuse(token, &refusal),
                }
            }
            _ => panic!("'{word}' is no word of a script"),
        }
        self.settle();
    }

    fn begin(&mut self, token: u64, id: DeploymentId) {
        let label = self.label(id);
        self.say(format!("c{token}@{label}"));
        self.calls.insert(token, id);
    }

    fn refuse(&mut self, token: u64, refusal: &super::Refusal) {
        let again = refusal.again_ms.map(|ms| ms.to_string()).unwrap_or_default();
        self.say(format!("c{token}:{}{again}", refusal.error.kind.name()));
    }

    fn settle(&mut self) {
        while let Some(effect) = self.deployments.poll_effect() {
            match effect {
                Effect::Load { id, source } => {
                    let label = self.label(id);
                    self.say(format!("+{label}:{source}"));
                }
                Effect::Unload { id, is_at_once } => {
                    let sign = if is_at_once { '!' } else { '-' };
                    let label = self.label(id);
                    self.say(format!("{sign}{label}"));
                }
                Effect::Begin { token, id } => self.begin(token, id),
                Effect::Refuse { token, refusal } => self.refuse(token, &refusal),
                Effect::Notice(notice) => {
                    let label = self.label(notice.id);
                    assert_eq!(notice.error.is_some(), notice.state == State::Failed);
                    if !matches!(notice.state, State::Staged | State::Loading | State::Unloading) {
                        self.say(format!("{label}={}", notice.state.name()));
                    }
                }
            }
        }
    }
}

/// Plays a script, and compares what comes of it.
fn check(script: &str, expected: &str) -> Stage {
    let mut stage = Stage::new();
    script.split_whitespace().for_each(|word| stage.play(word));
    assert_eq!(stage.said.join(" "), expected, "{script}");
    stage
}

#[test]
fn a_deployment_is_loaded_called_and_deleted() {
    let stage = check(
        "a=x ok1 a? a? end1 a- a? end2 gone1",
        "+1:x 1=ready c1@1 c2@1 1=draining c3:not_found -1 1=gone",
    );
    assert_eq!(stage.deployments.list().count(), 0);
    assert_eq!(stage.deployments.next_deadline(), None);
    check(
        "b? a! a- lab/a=x lab/a@latest? a?",
        "c1:not_found not_found not_found +1:x c2. c3:not_found",
    );
    check(
        "a=x a=y ok1 ok2 gone1 a- a-",
        "+1:x 1=ready +2:y 1=draining -1 2=ready 1=gone 2=draining -2 not_found",
    );
}

#[test]
fn the_next_takes_over_and_the_old_ends_its_calls() {
    check(
        "a=x ok1 a? a=y a? ok2 a? end1 end2 gone1 end3",
        "+1:x 1=ready c1@1 +2:y c2@1 1=draining 2=ready c3@2 -1 1=gone",
    );
    // It has so long, and no longer.
    check(
        "a=x ok1 a? a! ok2 +29999 a? +1 gone1 end1 a?",
        "+1:x 1=ready c1@1 +2:x 1=draining 2=ready c2@2 !1 1=gone c3@2",
    );
    // One without calls goes at once.
    check("a=x ok1 a! ok2", "+1:x 1=ready +2:x 1=draining -1 2=ready");
    // One that fails changes nothing but what is told.
    let stage = check(
        "a=x ok1 a=y bad2 a? gone2 a?",
        "+1:x 1=ready +2:y !2 2=failed c1@1 2=gone c2@1",
    );
    let status = stage.deployments.list().next().unwrap();
    assert_eq!(
        (status.state, status.number, status.open_calls),
        (State::Ready, 1, 2)
    );
    assert_eq!(status.last_error.unwrap().message, "it is bad");
}

#[test]
fn of_several_the_last_wins() {
    check(
        "a=u a=v a=w a=x ok1 ok4",
        "+1:u 2=gone 3=gone 1=ready +4:x 1=draining -1 4=ready",
    );
    check(
        "a=u a=v a=w bad1 a? ok3",
        "+1:u 2=gone !1 1=failed +3:w c1. 3=ready c1@3",
    );
    // Only so many are on their way out at once.
    check(
        "a=x ok1 a? a! ok2 a? a! ok3 a? a! a? gone1 end1 gone1 ok4",
        "+1:x 1=ready c1@1 +2:x 1=draining 2=ready c2@2 +3:x 2=draining 3=ready c3@3 c4@3 -1 1=gone +4:x 3=draining 4=ready",
    );
}

#[test]
fn failure_locks_nothing() {
    // The error stands for a while, then a call tries again.
    check(
        "a=x a? bad1 a? +4999 a? +1 a? ok2 gone1",
        "+1:x c1. !1 1=failed c1:manifest c2:manifest5000 c3:manifest1 c4. +2:x 2=ready c4@2 1=gone",
    );
    check("a=x bad1 a=y ok2", "+1:x !1 1=failed +2:y 2=ready");
    check(
        "a=x bad1 a- gone1 a? a=x",
        "+1:x !1 1=failed 1=gone c1:not_found +2:x",
    );
    check("a=x bad1 x*1 +200", "+1:x !1 1=failed +2:x");
    // Nobody answers.
    check(
        "a=x a? +600000 a? ok1",
        "+1:x c1. !1 1=failed c1:timeout c2:timeout5000",
    );
    // Deleted while it loads, the answer comes too late.
    check("a=x a? a- ok1 gone1", "+1:x c1. !1 c1:not_found 1=gone");
    // Deployed again while the last is on its way out.
    check("a=x a- a=y a? ok2 gone1", "+1:x !1 +2:y c1. 2=ready c1@2 1=gone");
}

#[test]
fn the_first_call_loads_what_waits_for_it() {
    check("a~x a? a? quit1 ok1", "c1. +1:x c2. 1=ready c2@1");
    check("a~x a~y a? bad2", "1=gone c1. +2:y !2 2=failed c1:manifest");
    // What serves already is replaced at once, and what failed is tried again when it is called.
    check(
        "a~x a? ok1 a~y ok2",
        "c1. +1:x 1=ready c1@1 +2:y 1=draining 2=ready",
    );
    check("a~x a- a?", "1=gone c1:not_found");
    let stage = check("a~x", "");
    assert!(stage.deployments.is_ready());
}

#[test]
fn files_are_loaded_again_once_they_are_quiet() {
    let loaded = "+1:x 1=ready";
    check("a=x ok1 x*1 +199", loaded);
    check("a=x ok1 x*1 +200", &format!("{loaded} +2:x"));
    check("a=x ok1 x*1 +100 x*2 +199", loaded);
    check("a=x ok1 x*0 +200", loaded);
    check("a=x ok1 x*1 +100 x*0 +900", loaded);
    check("a=x ok1 y*1 +200", loaded);
    let busy = "x*1 +150 ".repeat(33);
    check(&format!("a=x ok1 {busy}"), loaded);
    check(&format!("a=x ok1 {busy} x*2 +50"), &format!("{loaded} +2:x"));
    // While it loads: whether that has read the files as they are now shows at its end.
    check("a=x x*1 +900 ok1", "+1:x 1=ready +2:x");
    check("a=x x*0 +900 ok1", "+1:x 1=ready");
    // What waits reads them when it is loaded.
    check("a~x x*1 +900", "");
    check(
        "a=x a=x x*1 +900 ok1 ok2",
        "+1:x 1=ready +2:x 1=draining -1 2=ready",
    );
}

#[test]
fn a_pool_that_is_left_alone_keeps_callers_away_for_a_while() {
    check(
        "a=x b=y ok1 ok2 a? left1 a? b? +9000 a? +1000 a?",
        "+1:x +2:y 1=ready 2=ready c1@1 1=degraded c2:unavailable10000 c3@2 c4:unavailable1000 1=ready c5@1",
    );
    check("a=x ok1 left1 up1 a?", "+1:x 1=ready 1=degraded 1=ready c1@1");
    check(
        "a=x ok1 left1 a! ok2 a?",
        "+1:x 1=ready 1=degraded +2:x 1=draining -1 2=ready c1@2",
    );
    check("a=x left1 ok1 a- left1", "+1:x 1=ready 1=degraded 1=draining -1");
    let stage = check("a=x ok1 down1 up1 a?", "+1:x 1=ready c1@1");
    assert_eq!(stage.deployments.list().next().unwrap().restarts, 1);
}

#[test]
fn the_server_ends() {
    let stage = check(
        "a=x b=y c~z d=w ok1 ok4 a? d? b? drain a? a=x a! end1 gone1 gone2 +999 +1 gone4",
        "+1:x +2:y +4:w 1=ready 4=ready c1@1 c2@4 c3. 1=draining !2 c3:unavailable 3=gone 4=draining \
         c4:unavailable unavailable unavailable -1 1=gone 2=gone !4 4=gone",
    );
    assert!(stage.deployments.is_finished() && !stage.deployments.is_ready());
    assert_eq!(stage.deployments.calls(), 0);
    assert_eq!(stage.deployments.next_deadline(), None);
    // What ends its calls already has no more time than the rest.
    check("a=x ok1 a? a- drain +1000", "+1:x 1=ready c1@1 1=draining !1");
    check("a=x ok1 a? kill", "+1:x 1=ready c1@1 1=draining !1");
}

#[test]
fn there_is_only_so_much_of_everything() {
    let mut stage = Stage::new();
    stage.deployments.bounds.waiting = 1;
    stage.deployments.bounds.calls = 2;
    stage.deployments.bounds.deployments = 2;
    "a=x b=y c=z a? a? ok1 a? a? b? a! ok3 a? end1 a? a- gone3 c=z c? b- gone2 c=z"
        .split(' ')
        .for_each(|word| stage.play(word));
    assert_eq!(
        stage.said.join(" "),
        "+1:x +2:y overloaded c1. c2:overloaded1000 1=ready c1@1 c3@1 c4:overloaded1000 c5. +3:x 1=draining 3=ready \
         c6:overloaded1000 c7@3 3=draining overloaded c8:not_found !2 c5:not_found 2=gone +4:z"
    );
    // Those that are on their way out count.
    assert_eq!(stage.deployments.list().count(), 2);
}

#[test]
fn who_gives_up_before_it_is_told_has_no_call() {
    let mut stage = Stage::new();
    "a=x a? a?".split(' ').for_each(|word| stage.play(word));
    let id = stage.generations[0];
    stage.deployments.handle_loaded(id, 0, 0);
    stage.deployments.give_up(1, 0);
    stage.settle();
    assert_eq!(stage.said.join(" "), "+1:x c1. c2. 1=ready c2@1");
    assert_eq!(stage.deployments.calls(), 1);
}

#[test]
fn names_that_are_near_are_told() {
    let mut deployments = Deployments::new();
    let iris = Name::parse("iris").unwrap();
    deployments.deploy(iris, "x".into(), Start::OnCall, 0).unwrap();
    let error = deployments.resolve(&Name::parse("irsi").unwrap()).unwrap_err();
    assert_eq!(error.message, "there is no deployment 'default/irsi@latest'");
    assert_eq!(error.hint.unwrap(), "'default/iris@latest' is there");
}

#[test]
fn the_servers_own_are_not_shown() {
    let mut deployments = Deployments::new();
    let own = Name::own("a", "v1");
    deployments
        .deploy(own.clone(), "x".into(), Start::OnCall, 0)
        .unwrap();
    assert_eq!(deployments.list().count(), 0);
    assert!(deployments.status(&own).is_some() && deployments.is_ready());
    assert!(deployments.begin_call(&own, 1, 0).is_ok());
    let error = deployments
        .resolve(&Name::parse("nexu/a@v1").unwrap())
        .unwrap_err();
    assert_eq!(error.hint, None);
}
