//! Draws nodes: every kind, linked at random, some of them wrong. Builds none.
//!
//! Those of the server's simulation are drawn here, too.

use crate::core::simulation::random::Random;

/// Names that nodes have, or that are only linked to.
pub const NAMES: u64 = 8;

/// What a node may be linked to.
#[derive(Clone, Copy)]
pub enum Reach {
    /// Any node, also by its id: packets may go round.
    All,
    /// Nodes of higher numbers than that one.
    Behind(u64),
}

impl Reach {
    /// The lowest number of a node that is reached; none: there is no such node.
    pub fn first(self) -> Option<u64> {
        match self {
            Reach::All => Some(0),
            Reach::Behind(number) => Some(number + 1).filter(|first| *first < NAMES),
        }
    }
}

pub fn name(random: &mut Random) -> String {
    format!("n{}", random.below(NAMES))
}

fn link(random: &mut Random, reach: Reach, first: u64) -> String {
    let target = match matches!(reach, Reach::All) && random.chance(100) {
        true => format!("id: i{}", random.below(3)),
        false => format!("name: n{}", random.between(first, NAMES - 1)),
    };
    match random.below(10) {
        0 => format!("{{{target}, port: 'in[0]'}}"),
        1 => format!("{{{target}, port: 'in[1]'}}"),
        _ => format!("{{{target}}}"),
    }
}

fn ports(random: &mut Random, reach: Reach, ports: &[&str]) -> String {
    let mut linked = Vec::new();
    let Some(first) = reach.first() else {
        return String::new();
    };
    for port in ports {
        if random.chance(600) {
            let count = random.between(1, 2);
            let links: Vec<String> = (0..count).map(|_| link(random, reach, first)).collect();
            linked.push(format!("'{port}': [{}]", links.join(", ")));
        }
    }
    match linked.is_empty() {
        true => String::new(),
        false => format!(", ports: {{{}}}", linked.join(", ")),
    }
}

/// The kind and fields of a node, with its ports.
fn body(random: &mut Random, reach: Reach, depth: u32) -> String {
    let (fields, outs): (String, &[&str]) = match random.below(if depth == 0 { 22 } else { 17 }) {
        0 => ("kind: try".into(), &["out", "error"]),
        1 => (
            "kind: if, when: 'self == \"a\"'".into(),
            &["out[0]", "out[1]", "error"],
        ),
        2 => (
            "kind: switch, match: [{when: 'self == \"a\"', port: 'out[0]'}, {when: 'self', port: x}]".into(),
            &["out[0]", "x", "error"],
        ),
        3 => ("kind: split".into(), &["out[0]", "out[1]"]),
        4 => (
            format!("kind: for, parallel: {}", random.between(1, 3)),
            &["out[0]", "out[1]", "error"],
        ),
        5 => ("kind: pipe".into(), &["out[0]", "out[1]", "error"]),
        // In a chain what comes before it finds no input.
        6 if depth == 0 => ("kind: merge".into(), &["out"]),
        6 => ("kind: try".into(), &["out"]),
        7 => ("kind: fork".into(), &["out", "error"]),
        8 => (
            format!("kind: retry, threshold: 2, delay: {}", random.below(3)),
            &["out"],
        ),
        9 => (format!("kind: sleep, interval: {}", random.below(50)), &["out"]),
        10 => ("kind: throw, error: oh".into(), &["error"]),
        11 => (
            "kind: snippet, language: cel, code: '[self, self]'".into(),
            &["out", "error"],
        ),
        12 => (
            "kind: snippet, language: cel, code: 'self.x'".into(),
            &["out", "error"],
        ),
        13 => ("kind: call, command: c".into(), &["out", "error"]),
        14 => ("kind: p/d".into(), &["out", "error"]),
        15 => ("kind: sql, source: f, statement: s".into(), &["out", "error"]),
        16 => ("kind: nop".into(), &[]),
        17 => (
            format!("kind: timer, interval: {}", random.between(5, 300)),
            &["out", "error"],
        ),
        18 => (
            format!("kind: watch, path: p{}", random.below(2)),
            &["out", "error"],
        ),
        19 => ("kind: test".into(), &["out[0]", "out[1]"]),
        20 => (
            format!("kind: assert, expect: 'true', target: {{name: {}}}", name(random)),
            &["out"],
        ),
        _ => {
            let count = random.between(1, 3);
            let inner: Vec<String> = (0..count)
                .map(|_| format!("{{{}}}", body(random, reach, depth + 1)))
                .collect();
            (
                format!("kind: block, specs: [{}]", inner.join(", ")),
                &["out", "error"],
            )
        }
    };
    let ports = ports(random, reach, outs);
    format!("{fields}{ports}")
}

/// A node of a name; false if it can't be built.
pub fn node(random: &mut Random, name: &str, reach: Reach) -> (String, bool) {
    let id = match random.chance(150) {
        true => format!(", id: i{}", random.below(3)),
        false => String::new(),
    };
    match random.chance(70) {
        true => {
            let wrong = random.pick(&[
                "kind: none",
                "kind: sleep",
                "kind: nop, x: 1",
                "kind: nop, ports: {'out[3]': [{name: n1}]}",
                "kind: block, specs: [{kind: throw, x: 1}]",
            ]);
            (format!("- {{name: {name}{id}, {wrong}}}"), false)
        }
        false => (
            format!("- {{name: {name}{id}, {}}}", body(random, reach, 0)),
            true,
        ),
    }
}
