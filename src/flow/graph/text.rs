//! A namespace as a graph in the languages of other tools: DOT of Graphviz, and Mermaid. Draws nothing; what is within a block is
//! not shown.

use super::status::{State, Status};
use crate::flow::spec::{Port, Target};
use std::fmt::Write;

/// What a graph is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// DOT.
    Dot,
    /// Mermaid.
    Mermaid,
}

/// The nodes of a namespace and their links. Nodes that are not active, and those that are missing, are dashed.
pub fn text(namespace: &str, nodes: &[Status], language: Language) -> String {
    let mut out = String::new();
    match language {
        Language::Dot => {
            out.push_str("digraph ");
            quote(&mut out, namespace, language);
            out.push_str(" {\n  rankdir=LR\n  node [shape=box]\n");
        }
        Language::Mermaid => out.push_str("flowchart LR\n"),
    }
    for (number, node) in nodes.iter().enumerate() {
        let label = [&*node.spec.name, &*node.spec.kind];
        box_of(&mut out, number, &label, node.state != State::Active, language);
    }
    let mut missing: Vec<&Target> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        for (port, links) in &node.spec.ports {
            for link in links {
                let is_it = |its: &Status| match &link.target {
                    Target::Name(name) => its.spec.name == *name,
                    Target::Id(id) => its.spec.id.as_ref() == Some(id),
                };
                // They are in the order of their names.
                let found = match &link.target {
                    Target::Name(name) => nodes.binary_search_by(|its| its.spec.name.cmp(name)).ok(),
                    Target::Id(_) => nodes.iter().position(is_it),
                };
                let target = found.unwrap_or_else(|| {
                    let known = missing.iter().position(|its| **its == link.target);
                    let place = known.unwrap_or_else(|| {
                        missing.push(&link.target);
                        missing.len() - 1
                    });
                    nodes.len() + place
                });
                arrow(&mut out, (number, port), (target, &link.port), language);
            }
        }
    }
    for (place, target) in missing.iter().enumerate() {
        let name = target.to_string();
        box_of(&mut out, nodes.len() + place, &[&name, "missing"], true, language);
    }
    if language == Language::Dot {
        out.push_str("}\n");
    }
    out
}

fn box_of(out: &mut String, number: usize, label: &[&str], is_dashed: bool, language: Language) {
    let label = label.join("\n");
    match language {
        Language::Dot => {
            _ = write!(out, "  n{number} [label=");
            quote(out, &label, language);
            out.push_str(if is_dashed { ", style=dashed]\n" } else { "]\n" });
        }
        Language::Mermaid => {
            _ = write!(out, "  n{number}[");
            quote(out, &label, language);
            out.push_str("]\n");
            if is_dashed {
                _ = writeln!(out, "  style n{number} stroke-dasharray: 5");
            }
        }
    }
}

fn arrow(out: &mut String, from: (usize, &Port), to: (usize, &Port), language: Language) {
    let label = match *to.1 == Port::IN {
        true => from.1.to_string(),
        false => format!("{} to {}", from.1, to.1),
    };
    match language {
        Language::Dot => {
            _ = write!(out, "  n{} -> n{} [label=", from.0, to.0);
            quote(out, &label, language);
            out.push_str("]\n");
        }
        Language::Mermaid => {
            _ = write!(out, "  n{} -->|", from.0);
            quote(out, &label, language);
            _ = writeln!(out, "| n{}", to.0);
        }
    }
}

/// A text in quotes: nothing in it means anything to the tool.
fn quote(out: &mut String, text: &str, language: Language) {
    out.push('"');
    for char in text.chars() {
        match (language, char) {
            (Language::Dot, '\n') => out.push_str("\\n"),
            (Language::Dot, '"' | '\\') => {
                out.push('\\');
                out.push(char);
            }
            (Language::Mermaid, '\n') => out.push_str("<br>"),
            (Language::Mermaid, '"' | '#' | '&' | '<' | '>' | '`' | '\\') => {
                _ = write!(out, "#{};", u32::from(char));
            }
            (_, char) if char.is_control() => out.push(' '),
            (_, char) => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::kinds::check::engine;

    const NODES: &str = "
- {kind: if, name: a, when: 'true', ports: {'out[0]': [{name: b}, {name: m, port: 'in[1]'}], error: [{name: gone}]}}
- {kind: nop, name: b, id: i}
- {kind: merge, name: m, ports: {out: [{id: i}]}}
- {kind: a/b, name: z}
";

    fn check(language: Language, expected: &str) {
        assert_eq!(
            text("de\"fault", &engine(NODES).status("default"), language),
            expected
        );
    }

    #[test]
    fn quotes() {
        let check = |language, expected: &str| {
            let mut out = String::new();
            quote(&mut out, "a\"\\<b>#&`\t", language);
            assert_eq!(out, expected);
        };
        check(Language::Dot, r##""a\"\\<b>#&` ""##);
        check(Language::Mermaid, r##""a#34;#92;#60;b#62;#35;#38;#96; ""##);
    }

    #[test]
    fn dot() {
        check(
            Language::Dot,
            r#"digraph "de\"fault" {
  rankdir=LR
  node [shape=box]
  n0 [label="a\nif", style=dashed]
  n1 [label="b\nnop"]
  n2 [label="m\nmerge"]
  n3 [label="z\na/b", style=dashed]
  n0 -> n1 [label="out[0]"]
  n0 -> n2 [label="out[0] to in[1]"]
  n0 -> n4 [label="error"]
  n2 -> n1 [label="out"]
  n4 [label="gone\nmissing", style=dashed]
}
"#,
        );
    }

    #[test]
    fn mermaid() {
        check(
            Language::Mermaid,
            r#"flowchart LR
  n0["a<br>if"]
  style n0 stroke-dasharray: 5
  n1["b<br>nop"]
  n2["m<br>merge"]
  n3["z<br>a/b"]
  style n3 stroke-dasharray: 5
  n0 -->|"out[0]"| n1
  n0 -->|"out[0] to in[1]"| n2
  n0 -->|"error"| n4
  n2 -->|"out"| n1
  n4["gone<br>missing"]
  style n4 stroke-dasharray: 5
"#,
        );
    }
}
