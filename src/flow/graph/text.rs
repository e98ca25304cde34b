//! A namespace as a graph in the languages of other tools: DOT of Graphviz, and Mermaid. A block is a frame around the nodes within.
//! Draws nothing.

use super::status::{State, Status};
use super::symbol::{End, Symbol};
use crate::flow::spec::{Port, Spec, Target};
use std::fmt::Write;
use std::rc::Rc;

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
    let mut drawing = Drawing {
        out: String::new(),
        language,
        nodes,
        missing: Vec::new(),
    };
    match language {
        Language::Dot => {
            drawing.out.push_str("digraph ");
            quote(&mut drawing.out, namespace, language);
            // Arrows may end at frames.
            drawing
                .out
                .push_str(" {\n  rankdir=LR\n  compound=true\n  node [shape=box]\n");
        }
        Language::Mermaid => drawing.out.push_str("flowchart LR\n"),
    }
    for (number, node) in nodes.iter().enumerate() {
        drawing.boxes(&drawing.top(number), &node.spec, node.state != State::Active);
    }
    for (number, node) in nodes.iter().enumerate() {
        let from = drawing.top(number);
        for (port, links) in &node.spec.ports {
            for link in links {
                let to = drawing.find(&link.target);
                drawing.arrow((&from, port), (&to, &link.port));
            }
        }
        drawing.arrows_within(&from);
    }
    for (place, target) in std::mem::take(&mut drawing.missing).into_iter().enumerate() {
        let id = format!("n{}", nodes.len() + place);
        drawing.box_of(&id, &format!("{target}\nmissing"), true);
    }
    if language == Language::Dot {
        drawing.out.push_str("}\n");
    }
    drawing.out
}

struct Drawing<'n> {
    out: String,
    language: Language,
    /// In the order of their names.
    nodes: &'n [Status],
    /// What is linked to and isn't there.
    missing: Vec<&'n Target>,
}

/// A node of the drawing.
struct Place<'n> {
    /// `n` and its number; of one within another that one's, and its position: `n3_0`.
    id: String,
    inner: &'n [Rc<Symbol>],
}

impl<'n> Place<'n> {
    fn within(&self, position: usize) -> Option<Place<'n>> {
        Some(Place {
            id: format!("{}_{position}", self.id),
            inner: &self.inner.get(position)?.inner,
        })
    }

    /// What is no frame: itself, or the first or last of all within.
    fn leaf(&self, is_last: bool) -> String {
        let position = if is_last {
            self.inner.len().saturating_sub(1)
        } else {
            0
        };
        self.within(position)
            .map_or_else(|| self.id.clone(), |place| place.leaf(is_last))
    }

    /// Whether it is another one, or around it.
    fn has(&self, other: &Place) -> bool {
        let rest = other.id.strip_prefix(&self.id);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

impl<'n> Drawing<'n> {
    fn top(&self, number: usize) -> Place<'n> {
        Place {
            id: format!("n{number}"),
            inner: self.nodes.get(number).map_or(&[], |node| &node.inner),
        }
    }

    /// The node of the namespace to which a link leads.
    fn find(&mut self, target: &'n Target) -> Place<'n> {
        let found = match target {
            Target::Name(name) => self.nodes.binary_search_by(|its| its.spec.name.cmp(name)).ok(),
            Target::Id(id) => self.nodes.iter().position(|its| its.spec.id.as_ref() == Some(id)),
        };
        let number = found.unwrap_or_else(|| {
            let known = self.missing.iter().position(|its| *its == target);
            let place = known.unwrap_or_else(|| {
                self.missing.push(target);
                self.missing.len() - 1
            });
            self.nodes.len() + place
        });
        self.top(number)
    }

    /// A node with what is within.
    fn boxes(&mut self, place: &Place, spec: &Spec, is_dashed: bool) {
        let mut label = spec.name.to_string();
        if !label.is_empty() {
            label.push('\n');
        }
        label.push_str(&spec.kind);
        if place.inner.is_empty() {
            return self.box_of(&place.id, &label, is_dashed);
        }
        let indent = indent(&place.id);
        let id = &place.id;
        match self.language {
            Language::Dot => {
                _ = write!(self.out, "{indent}subgraph cluster_{id} {{\n{indent}  label=");
                quote(&mut self.out, &label, self.language);
                let style = if is_dashed { "dashed" } else { "solid" };
                _ = writeln!(self.out, "\n{indent}  style={style}");
            }
            Language::Mermaid => {
                _ = write!(self.out, "{indent}subgraph {id}[");
                quote(&mut self.out, &label, self.language);
                self.out.push_str("]\n");
            }
        }
        for (position, symbol) in place.inner.iter().enumerate() {
            if let Some(inner) = place.within(position) {
                self.boxes(&inner, &symbol.spec, false);
            }
        }
        match self.language {
            Language::Dot => _ = writeln!(self.out, "{indent}}}"),
            Language::Mermaid => {
                _ = writeln!(self.out, "{indent}end");
                self.dash(id, is_dashed);
            }
        }
    }

    fn box_of(&mut self, id: &str, label: &str, is_dashed: bool) {
        let indent = indent(id);
        match self.language {
            Language::Dot => {
                _ = write!(self.out, "{indent}{id} [label=");
                quote(&mut self.out, label, self.language);
                self.out
                    .push_str(if is_dashed { ", style=dashed]\n" } else { "]\n" });
            }
            Language::Mermaid => {
                _ = write!(self.out, "{indent}{id}[");
                quote(&mut self.out, label, self.language);
                self.out.push_str("]\n");
                self.dash(id, is_dashed);
            }
        }
    }

    fn dash(&mut self, id: &str, is_dashed: bool) {
        if is_dashed {
            _ = writeln!(self.out, "  style {id} stroke-dasharray: 5");
        }
    }

    /// The links of all nodes within one: to others beside them, on to the next, or out to one of the namespace.
    fn arrows_within(&mut self, around: &Place<'n>) {
        for (position, symbol) in around.inner.iter().enumerate() {
            let Some(from) = around.within(position) else {
                continue;
            };
            for (port, ways) in &symbol.outs {
                let ports = &symbol.spec.ports;
                let links = ports.iter().find(|(its, _)| its == port).map(|(_, links)| links);
                for (number, way) in ways.iter().enumerate() {
                    let to = match way.end {
                        End::Inner(position) => around.within(position as usize),
                        End::Row(_) => {
                            let link = links.and_then(|links| links.get(number));
                            link.map(|link| self.find(&link.target))
                        }
                    };
                    if let Some(to) = to {
                        self.arrow((&from, port), (&to, &way.port));
                    }
                }
            }
            self.arrows_within(&from);
        }
    }

    fn arrow(&mut self, (from, out): (&Place, &Port), (to, into): (&Place, &Port)) {
        let label = match *into == Port::IN {
            true => out.to_string(),
            false => format!("{out} to {into}"),
        };
        let (tail, head) = (from.leaf(true), to.leaf(false));
        // No arrow leads from a frame to what is within, or back.
        let is_apart = !from.has(to) && !to.has(from);
        match self.language {
            Language::Dot => {
                _ = write!(self.out, "  {tail} -> {head} [label=");
                quote(&mut self.out, &label, self.language);
                for (key, leaf, place) in [("ltail", tail, from), ("lhead", head, to)] {
                    if is_apart && leaf != place.id {
                        _ = write!(self.out, ", {key}=cluster_{}", place.id);
                    }
                }
                self.out.push_str("]\n");
            }
            Language::Mermaid => {
                let (tail, head) = match is_apart {
                    true => (&from.id, &to.id),
                    false => (&tail, &head),
                };
                _ = write!(self.out, "  {tail} -->|");
                quote(&mut self.out, &label, self.language);
                _ = writeln!(self.out, "| {head}");
            }
        }
    }
}

/// How far in a line stands about the node of that id.
fn indent(id: &str) -> String {
    "  ".repeat(1 + id.matches('_').count())
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

    /// Within blocks: links out, to another beside and back to the block; a block in a block that waits.
    const BLOCKS: &str = "
- kind: block
  name: a
  specs:
    - {kind: nop}
    - {kind: if, name: x, when: 'true', ports: {'out[0]': [{name: x}, {name: b}], error: [{name: a}]}}
  ports: {out: [{name: b}, {name: a}]}
- kind: step
  name: b
  specs: [{kind: block, name: c, specs: [{kind: nop}]}, {kind: throw, error: oh}]
  ports: {error: [{name: gone}]}
";

    fn check(nodes: &str, language: Language, expected: &str) {
        assert_eq!(
            text("de\"fault", &engine(nodes).status("default"), language),
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
            NODES,
            Language::Dot,
            r#"digraph "de\"fault" {
  rankdir=LR
  compound=true
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
            NODES,
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

    #[test]
    fn blocks() {
        check(
            BLOCKS,
            Language::Dot,
            r#"digraph "de\"fault" {
  rankdir=LR
  compound=true
  node [shape=box]
  subgraph cluster_n0 {
    label="a\nblock"
    style=dashed
    n0_0 [label="nop"]
    n0_1 [label="x\nif"]
  }
  subgraph cluster_n1 {
    label="b\nstep"
    style=dashed
    subgraph cluster_n1_0 {
      label="c\nblock"
      style=solid
      n1_0_0 [label="nop"]
    }
    n1_1 [label="throw"]
  }
  n0_1 -> n1_0_0 [label="out", ltail=cluster_n0, lhead=cluster_n1]
  n0_1 -> n0_0 [label="out"]
  n0_0 -> n0_1 [label="out"]
  n0_1 -> n0_1 [label="out[0]"]
  n0_1 -> n1_0_0 [label="out[0]", lhead=cluster_n1]
  n0_1 -> n0_0 [label="error"]
  n1_1 -> n2 [label="error", ltail=cluster_n1]
  n1_0_0 -> n1_1 [label="out", ltail=cluster_n1_0]
  n2 [label="gone\nmissing", style=dashed]
}
"#,
        );
        check(
            BLOCKS,
            Language::Mermaid,
            r#"flowchart LR
  subgraph n0["a<br>block"]
    n0_0["nop"]
    n0_1["x<br>if"]
  end
  style n0 stroke-dasharray: 5
  subgraph n1["b<br>step"]
    subgraph n1_0["c<br>block"]
      n1_0_0["nop"]
    end
    n1_1["throw"]
  end
  style n1 stroke-dasharray: 5
  n0 -->|"out"| n1
  n0_1 -->|"out"| n0_0
  n0_0 -->|"out"| n0_1
  n0_1 -->|"out[0]"| n0_1
  n0_1 -->|"out[0]"| n1
  n0_1 -->|"error"| n0_0
  n1 -->|"error"| n2
  n1_0 -->|"out"| n1_1
  n2["gone<br>missing"]
  style n2 stroke-dasharray: 5
"#,
        );
    }
}
