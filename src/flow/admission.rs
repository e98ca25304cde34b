//! Changes of nodes on their way to the engine. One with code for a pool waits until that has said whether it can be compiled, and
//! what comes meanwhile for its namespace waits along: what can't be is refused, so that the node as it was goes on, and everything
//! else takes its place at once. A pool that takes too long is not waited for, and fails the node when it has found that out. Calls no
//! pool.
//!
//! It stands before the engine, which knows nothing of it: a graph that waits would have to be kept beside each that serves.

use super::engine::{Change, TaskId};
use super::kinds::node::Outcome;
use super::languages::{self, Carried, SNIPPETS};
use super::spec::{Spec, codec};
use super::value::Value;
use crate::core::deadlines::Due;
use crate::error::{Error, Kind};
use crate::limits::{FLOW_CHECK_MS, FLOW_INNER_DEPTH_MAX, SNIPPET_BYTES_MAX};
use crate::map::Map;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a pool is asked: which of these codes can't be compiled. Answered by [`Admission::handle_answer`].
#[derive(Debug)]
pub struct Question {
    /// To be answered under.
    pub id: u64,
    /// Whose pool.
    pub carried: &'static Carried,
    /// The codes.
    pub codes: Vec<Rc<str>>,
}

/// Changes that the engine may have now.
#[derive(Debug)]
pub struct Passed {
    /// Of which namespace.
    pub namespace: Rc<str>,
    /// What is different.
    pub changes: Vec<Change>,
    /// What has waited for that.
    pub answers: Vec<(TaskId, Outcome)>,
}

/// The spec that a node of a namespace was built of last.
pub type Served<'s> = dyn Fn(&str, &str) -> Option<Rc<Spec>> + 's;

/// All namespaces.
#[derive(Default)]
pub struct Admission {
    held: Map<Rc<str>, Held>,
    asked: Vec<Asked>,
    questions: VecDeque<Question>,
    next: u64,
    passed: VecDeque<Passed>,
    /// Nodes that were refused because their pool can't be started: they are tried again with the next change.
    stranded: Vec<Rc<Spec>>,
}

/// What waits of a namespace: of each node the last change.
struct Held {
    changes: Vec<Change>,
    /// Questions that are not answered.
    open: usize,
    due_ms: u64,
    answers: Vec<(TaskId, Outcome)>,
}

/// A question: of each code the node that it belongs to, and where it stands.
struct Asked {
    id: u64,
    namespace: Rc<str>,
    /// Whether the nodes were not held any longer.
    is_late: bool,
    codes: Vec<(Rc<Spec>, String)>,
}

impl Admission {
    /// Takes changes of a namespace. What is served under a name, and has the same code, is not asked for again.
    pub fn handle_change(
        &mut self,
        namespace: &Rc<str>,
        mut changes: Vec<Change>,
        served: &Served,
        now_ms: u64,
    ) {
        let stranded = self.stranded.extract_if(.., |spec| spec.namespace == *namespace);
        for spec in stranded {
            if !changes.iter().any(|change| *change.name() == spec.name) {
                changes.push(Change::Set(spec));
            }
        }
        let mut questions: Vec<(Question, Asked)> = Vec::new();
        for change in &changes {
            let Change::Set(spec) = change else { continue };
            let codes = codes(spec);
            let is_known = |old: Rc<Spec>| is_same(&old, spec);
            if codes.is_empty() || served(namespace, &spec.name).is_some_and(is_known) {
                continue;
            }
            for (carried, code, place) in codes {
                let known = questions
                    .iter_mut()
                    .find(|(its, _)| its.carried.name == carried.name);
                let (question, asked) = match known {
                    Some(known) => known,
                    None => {
                        self.next += 1;
                        let question = Question {
                            id: self.next,
                            carried,
                            codes: Vec::new(),
                        };
                        let asked = Asked {
                            id: self.next,
                            namespace: namespace.clone(),
                            is_late: false,
                            codes: Vec::new(),
                        };
                        questions.push((question, asked));
                        let Some(last) = questions.last_mut() else {
                            continue;
                        };
                        last
                    }
                };
                question.codes.push(code);
                asked.codes.push((spec.clone(), place));
            }
        }
        if questions.is_empty() && !self.is_holding(namespace) {
            return self.passed.push_back(Passed {
                namespace: namespace.clone(),
                changes,
                answers: Vec::new(),
            });
        }
        let held = self.held.or_insert_with(namespace.clone(), || Held {
            changes: Vec::new(),
            open: 0,
            due_ms: now_ms.saturating_add(FLOW_CHECK_MS),
            answers: Vec::new(),
        });
        let mut names: Vec<&Rc<str>> = changes.iter().map(Change::name).collect();
        names.sort_unstable();
        held.changes
            .retain(|change| names.binary_search(&change.name()).is_err());
        held.changes.append(&mut changes);
        held.open += questions.len();
        for (question, asked) in questions {
            self.asked.push(asked);
            self.questions.push_back(question);
        }
    }

    /// What a pool has answered, or why it hasn't. One that can't be started refuses what it should run; one that dies, or doesn't
    /// answer, refuses nothing.
    pub fn handle_answer(&mut self, id: u64, answer: Outcome, served: &Served) {
        let Some(place) = self.asked.iter().position(|asked| asked.id == id) else {
            return;
        };
        let Asked {
            namespace,
            is_late,
            codes,
            ..
        } = self.asked.swap_remove(place);
        let is_stranded = answer.is_err();
        for (spec, error) in refusals(codes, answer) {
            let is_refused = match self.held.get_mut(&*namespace) {
                Some(held) if !is_late => held.refuse(&spec, error),
                _ => self.withdraw(&namespace, &spec, error, served),
            };
            if is_refused && is_stranded {
                self.stranded.push(spec);
            }
        }
        if !is_late && let Some(held) = self.held.get_mut(&*namespace) {
            held.open -= 1;
            if held.open == 0 {
                self.pass(&namespace);
            }
        }
    }

    /// Fails a node that was not held any longer, if it is still served and not written anew.
    fn withdraw(&mut self, namespace: &Rc<str>, spec: &Rc<Spec>, error: Box<Error>, served: &Served) -> bool {
        let mut held = self.held.get_mut(&**namespace);
        let mut waiting = held.iter().flat_map(|held| &held.changes);
        let is_changed = waiting.any(|change| *change.name() == spec.name);
        if is_changed || !served(namespace, &spec.name).is_some_and(|its| is_same(&its, spec)) {
            return false;
        }
        // It goes, and then it is told why.
        let refusal = Change::Refuse {
            spec: spec.clone(),
            error: error.into(),
        };
        let changes = vec![Change::Remove(spec.name.clone()), refusal];
        match &mut held {
            Some(held) => held.changes.extend(changes),
            None => self.passed.push_back(Passed {
                namespace: namespace.clone(),
                changes,
                answers: Vec::new(),
            }),
        }
        true
    }

    /// An answer that is to be given when what waits of a namespace has passed; given back if nothing does.
    pub fn hold_answer(&mut self, namespace: &str, task: TaskId, outcome: Outcome) -> Option<Outcome> {
        match self.held.get_mut(namespace) {
            Some(held) => {
                held.answers.push((task, outcome));
                None
            }
            None => Some(outcome),
        }
    }

    /// When [`Admission::handle_timeout`] is due.
    pub fn next_deadline(&self) -> Due {
        self.held.values().map(|held| held.due_ms).min()
    }

    /// Time has passed: what has waited for too long passes as it is.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        let due = self.held.iter().filter(|(_, held)| held.due_ms <= now_ms);
        for namespace in due.map(|(namespace, _)| namespace.clone()).collect::<Vec<_>>() {
            self.pass(&namespace);
        }
    }

    fn pass(&mut self, namespace: &Rc<str>) {
        let asked = self.asked.iter_mut();
        asked
            .filter(|asked| asked.namespace == *namespace)
            .for_each(|asked| asked.is_late = true);
        if let Some(held) = self.held.remove(&**namespace) {
            self.passed.push_back(Passed {
                namespace: namespace.clone(),
                changes: held.changes,
                answers: held.answers,
            });
        }
    }

    /// Forgets all that waits, but for answers that have to be given.
    pub fn clear(&mut self) -> Vec<(TaskId, Outcome)> {
        self.asked.clear();
        self.questions.clear();
        let passed = std::mem::take(&mut self.passed);
        let mut answers: Vec<(TaskId, Outcome)> = passed.into_iter().flat_map(|its| its.answers).collect();
        let mut held = std::mem::take(&mut self.held);
        answers.extend(held.values_mut().flat_map(|held| held.answers.drain(..)));
        answers
    }

    /// Whether a question is not answered.
    #[cfg(test)]
    pub fn is_asked(&self, question: u64) -> bool {
        self.asked.iter().any(|asked| asked.id == question)
    }

    /// The next question.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// The next changes that the engine may have.
    pub fn poll_passed(&mut self) -> Option<Passed> {
        self.passed.pop_front()
    }

    /// Whether changes of a namespace wait.
    pub fn is_holding(&self, namespace: &str) -> bool {
        self.held.get(namespace).is_some()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The nodes of a namespace whose changes wait, as they will be.
    pub fn held(&self, namespace: &str) -> impl Iterator<Item = &Rc<Spec>> {
        let held = self.held.get(namespace).into_iter();
        held.flat_map(|held| &held.changes)
            .filter_map(|change| match change {
                Change::Set(spec) | Change::Refuse { spec, .. } => Some(spec),
                Change::Remove(_) => None,
            })
    }
}

impl Held {
    /// Refuses a node, if it has not been written anew, or refused.
    fn refuse(&mut self, spec: &Rc<Spec>, error: Box<Error>) -> bool {
        let is_it = |change: &&mut Change| matches!(change, Change::Set(its) if Rc::ptr_eq(its, spec));
        let found = self.changes.iter_mut().find(is_it);
        found.is_some_and(|change| {
            *change = Change::Refuse {
                spec: spec.clone(),
                error: error.into(),
            };
            true
        })
    }
}

/// Whether two specs have the same code, wherever they lead.
fn is_same(a: &Spec, b: &Spec) -> bool {
    a.kind == b.kind && a.fields == b.fields
}

/// What an answer refuses, and why.
fn refusals(codes: Vec<(Rc<Spec>, String)>, answer: Outcome) -> Vec<(Rc<Spec>, Box<Error>)> {
    match answer {
        Ok(answer) => {
            let refusal = |((spec, place), flaw): ((Rc<Spec>, String), Option<Rc<str>>)| {
                let message = format!("code can't be compiled: {}", flaw?);
                Some((spec, Error::new(Kind::BadArgument, message).at(place)))
            };
            let flaws = languages::flaws(&answer);
            codes.into_iter().zip(flaws).filter_map(refusal).collect()
        }
        Err(error) if matches!(error.kind, Kind::SpawnFailed | Kind::HelloFailed) => {
            let refusal = |(spec, place)| (spec, Box::new(Error::clone(&error)).at(place));
            codes.into_iter().map(refusal).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// The codes of a node and of those within that a pool compiles, and where each stands. What else is wrong with them is found when they
/// are built.
fn codes(spec: &Spec) -> Vec<(&'static Carried, Rc<str>, String)> {
    let mut found = Vec::new();
    let own = |spec: &Spec, found: &mut Vec<_>| {
        if let (Some(Value::Str(language)), Some(Value::Str(code))) =
            (spec.field("language"), spec.field("code"))
            && &*spec.kind == "snippet"
            && let Some(carried) = SNIPPETS.iter().find(|carried| *carried.name == **language)
            && code.len() <= SNIPPET_BYTES_MAX
        {
            found.push((carried, code.clone(), spec.place_of("code").to_string()));
        }
    };
    own(spec, &mut found);
    let within = |spec: &Spec| codec::nested(spec, "specs").unwrap_or_default();
    let mut level = within(spec);
    for _ in 0..FLOW_INNER_DEPTH_MAX {
        level.iter().for_each(|spec| own(spec, &mut found));
        level = level.iter().flat_map(within).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::kinds::check::specs;
    use crate::flow::value::json;

    const NAMESPACE: &str = "default";

    /// Nothing is served.
    const NONE: fn(&str, &str) -> Option<Rc<Spec>> = |_, _| None;

    /// Gives nodes; what is served is told by its name alone.
    fn write(admission: &mut Admission, text: &str, served: &[Rc<Spec>], now_ms: u64) {
        let changes = specs(text).into_iter().map(Change::Set).collect();
        let served = |_: &str, name: &str| served.iter().find(|its| *its.name == *name).cloned();
        admission.handle_change(&NAMESPACE.into(), changes, &served, now_ms);
    }

    fn questions(admission: &mut Admission) -> Vec<(u64, String)> {
        let all = std::iter::from_fn(|| admission.poll_question());
        all.map(|its| (its.id, format!("{}: {}", its.carried.name, its.codes.join(", "))))
            .collect()
    }

    /// What has passed: names, with why they are refused.
    fn passed(admission: &mut Admission) -> Option<Vec<String>> {
        let passed = admission.poll_passed()?;
        let told = passed.changes.iter().map(|change| match change {
            Change::Refuse { spec, error } => format!("{}: {error}", spec.name),
            change => change.name().to_string(),
        });
        Some(told.collect())
    }

    fn flaws(text: &str) -> Outcome {
        Ok(json::read(text.as_bytes()).unwrap())
    }

    const TWO: &str = "
- {kind: nop, name: a}
- {kind: snippet, name: p, language: python, code: x}
- {kind: block, name: b, specs: [{kind: step, specs: [{kind: snippet, language: python, code: y}]}]}
";

    #[test]
    fn what_brings_no_code_passes_at_once() {
        let mut admission = Admission::default();
        write(
            &mut admission,
            "- {kind: nop, name: a}\n- {kind: snippet, name: c, language: cel, code: '1'}",
            &[],
            0,
        );
        assert_eq!(passed(&mut admission).unwrap(), ["a", "c"]);
        // Nor does what is served already, whatever its links.
        let served = specs("- {kind: snippet, name: p, language: python, code: x}");
        let moved = "- {kind: snippet, name: p, language: python, code: x, ports: {out: [{name: a}]}}";
        write(&mut admission, moved, &served, 0);
        assert_eq!(passed(&mut admission).unwrap(), ["p"]);
        assert!(admission.is_empty() && questions(&mut admission).is_empty());
    }

    #[test]
    fn code_waits_for_its_pool() {
        let check = |answer: Outcome, expected: &[&str]| {
            let mut admission = Admission::default();
            write(&mut admission, TWO, &[], 0);
            assert_eq!(questions(&mut admission), [(1, "python: x, y".to_string())]);
            assert!(passed(&mut admission).is_none());
            admission.handle_answer(1, answer, &NONE);
            assert_eq!(passed(&mut admission).unwrap(), expected);
            assert!(admission.is_empty());
            admission.handle_answer(1, flaws("[\"again\"]"), &NONE);
        };
        check(flaws("[null, null]"), &["a", "p", "b"]);
        let flaw = "code can't be compiled: bad at f.yaml";
        check(flaws("[\"bad\", null]"), &["a", &format!("p: {flaw}:3"), "b"]);
        check(flaws("[null, \"bad\"]"), &["a", "p", &format!("b: {flaw}:4")]);
        // A pool that dies or is late refuses nothing, one that isn't there all.
        check(
            Err(Rc::from(Error::new(Kind::Terminated, "gone"))),
            &["a", "p", "b"],
        );
        check(
            Err(Rc::from(Error::new(Kind::SpawnFailed, "no python"))),
            &["a", "p: no python at f.yaml:3", "b: no python at f.yaml:4"],
        );
    }

    #[test]
    fn what_comes_meanwhile_waits_along() {
        let mut admission = Admission::default();
        write(&mut admission, TWO, &[], 0);
        write(
            &mut admission,
            "- {kind: nop, name: p}\n- {kind: snippet, name: j, language: javascript, code: z}",
            &[],
            5000,
        );
        assert_eq!(questions(&mut admission).len(), 2);
        let names: Vec<&str> = admission.held(NAMESPACE).map(|spec| &*spec.name).collect();
        assert_eq!(names, ["a", "b", "p", "j"]);
        let outcome = Ok(Value::Int(1));
        assert!(
            admission
                .hold_answer("other", TaskId(1), outcome.clone())
                .is_some()
        );
        assert!(admission.hold_answer(NAMESPACE, TaskId(1), outcome).is_none());
        // What was written anew is not refused for what it was.
        admission.handle_answer(1, flaws("[\"bad\", null]"), &NONE);
        assert!(passed(&mut admission).is_none());
        assert_eq!(admission.next_deadline(), Some(FLOW_CHECK_MS));
        admission.handle_timeout(FLOW_CHECK_MS - 1);
        assert!(!admission.is_empty());
        admission.handle_timeout(FLOW_CHECK_MS);
        let last = admission.poll_passed().unwrap();
        assert_eq!((last.changes.len(), last.answers.len()), (4, 1));
        // An answer that is late is not taken for one of what waits then.
        write(&mut admission, TWO, &[], 0);
        admission.handle_answer(2, flaws("[\"bad\"]"), &NONE);
        assert!(passed(&mut admission).is_none());
        admission.handle_answer(3, flaws("[null, null]"), &NONE);
        assert_eq!(passed(&mut admission).unwrap(), ["a", "p", "b"]);
    }

    #[test]
    fn a_late_answer_fails_what_is_served() {
        let check = |more: &str, is_served: bool, expected: &[&str]| {
            let mut admission = Admission::default();
            write(&mut admission, TWO, &[], 0);
            admission.handle_timeout(FLOW_CHECK_MS);
            let last = admission.poll_passed().unwrap();
            let specs = last.changes.iter().filter_map(|change| match change {
                Change::Set(spec) if is_served => Some(spec.clone()),
                _ => None,
            });
            let specs: Vec<Rc<Spec>> = specs.collect();
            let served = |_: &str, name: &str| specs.iter().find(|its| *its.name == *name).cloned();
            if !more.is_empty() {
                write(&mut admission, more, &[], FLOW_CHECK_MS);
            }
            admission.handle_answer(1, flaws("[\"bad\", null]"), &served);
            admission.handle_answer(2, flaws("[null]"), &served);
            assert_eq!(passed(&mut admission).unwrap_or_default(), expected);
            assert!(admission.is_empty());
        };
        let why = "p: code can't be compiled: bad at f.yaml:3";
        check("", true, &["p", why]);
        check("", false, &[]);
        check(
            "- {kind: snippet, name: q, language: r, code: z}",
            true,
            &["q", "p", why],
        );
        check("- {kind: snippet, name: p, language: r, code: z}", true, &["p"]);
    }

    #[test]
    fn a_pool_that_was_not_there_is_asked_again() {
        let mut admission = Admission::default();
        let missing = || Err(Rc::from(Error::new(Kind::SpawnFailed, "no python")));
        write(&mut admission, TWO, &[], 0);
        admission.handle_answer(1, missing(), &NONE);
        passed(&mut admission);
        write(&mut admission, "- {kind: nop, name: p}", &[], 0);
        assert_eq!(questions(&mut admission)[1..], [(2, "python: y".to_string())]);
        admission.handle_answer(2, flaws("[null]"), &NONE);
        assert_eq!(passed(&mut admission).unwrap(), ["p", "b"]);
        write(&mut admission, "- {kind: nop, name: p}", &[], 0);
        assert_eq!(passed(&mut admission).unwrap(), ["p"]);
    }
}
