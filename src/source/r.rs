//! R: functions with a signature comment or with types in roxygen's tags (`#' @param xs [Real] The numbers`). Evaluates
//! nothing, and looks at the outermost level only.

use super::collect::{Collector, Declared, DeclaredParam, Default, Pending};
use super::comment::{self, Subject, record_name};
use super::lexer::{Kind, Lang, Token, comment_lines, tokens};
use super::literal;
use super::notation::{Line, leading_type, read_type};
use super::signature::{Flaw, Library, Place};
use super::types::Type;

/// Reads an R file.
pub fn read(text: &str) -> Result<Library, Vec<Flaw>> {
    let tokens = tokens(Lang::R, text, Place { line: 1, column: 1 });
    let comments = tokens.iter().filter(|token| token.kind == Kind::Comment);
    let records: Vec<&str> = comments.flat_map(comment_lines).filter_map(record_name).collect();
    let mut reader = Reader {
        tokens: &tokens,
        records,
        pending: Pending::default(),
        collector: Collector::default(),
    };
    reader.run();
    reader.collector.finish()
}

struct Reader<'a, 't> {
    tokens: &'t [Token<'a>],
    records: Vec<&'a str>,
    pending: Pending<'a>,
    collector: Collector,
}

/// The type that begins what is said of a parameter or a result, if it is one for sure: prose may begin with any word.
fn typed(line: Line<'_>, records: &[&str]) -> Option<(usize, usize)> {
    let mut mentions = Vec::new();
    let (ty, len) = leading_type(line, &mut mentions)?;
    let is_apart = line.text[len..]
        .chars()
        .next()
        .is_none_or(|next| next.is_whitespace() || next == ',');
    let are_records = mentions
        .iter()
        .all(|mention| records.contains(&mention.name.as_str()));
    (is_apart && are_records && !ty.has(&|ty| matches!(ty, Type::Variable(_)))).then_some((len, len))
}

impl<'a> Reader<'a, '_> {
    fn run(&mut self) {
        let mut open = 0usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match (token.kind, token.text) {
                (Kind::Comment, _) if token.is_first && open == 0 => {
                    if let Some(lines) = self.pending.add(token) {
                        self.stray(&lines);
                    }
                }
                (Kind::Comment, _) => {}
                (Kind::Sign, "(" | "[" | "{") => open += 1,
                (Kind::Sign, ")" | "]" | "}") => open = open.saturating_sub(1),
                _ if token.is_first && open == 0 => self.statement(at),
                _ => {}
            }
        }
        if let Some(lines) = self.pending.take() {
            self.stray(&lines);
        }
    }

    fn stray(&mut self, lines: &[Line<'a>]) {
        self.collector.stray(lines, &|_, _| None);
    }

    /// `name <- function(xs, k = 5) ...`; anything else has no signature.
    fn statement(&mut self, at: usize) {
        let (above, stray) = self.pending.above(self.tokens[at].place.line);
        if let Some(lines) = stray {
            self.stray(&lines);
        }
        match self.tokens[at..] {
            [name, arrow, function, open, ..]
                if name.is_word()
                    && matches!(arrow.text, "<-" | "=" | "<<-")
                    && matches!(function.text, "function" | "\\")
                    && open.is("(") =>
            {
                self.function(name, &self.tokens[at + 3..], &above);
            }
            _ => self.stray(&above),
        }
    }

    fn function(&mut self, name: Token<'a>, rest: &[Token<'a>], above: &[Line<'a>]) {
        let heads = params(rest);
        let names: Vec<&str> = heads.iter().map(|head| head.name.text).collect();
        let records = &self.records;
        let typed = |line: Line<'_>, subject| match subject {
            Subject::Param(_) | Subject::Returns => typed(line, records),
            _ => None,
        };
        let said = comment::read(above, &names, &typed);
        if name.text.starts_with('.') {
            return;
        }
        let mentions = &mut self.collector.library.mentions;
        let mut read = |line: Option<Line<'a>>| match (&said.signature, line) {
            (None, Some(line)) => Some(read_type(&[line], line.place, mentions)),
            _ => None,
        };
        let is_dots = |head: &&Head<'a, '_>| head.name.is("...");
        let params = heads
            .iter()
            .filter(|head| !is_dots(head))
            .map(|head| DeclaredParam {
                name: Some(head.name.text.to_string()),
                ty: read(
                    said.params
                        .iter()
                        .find(|said| said.name == head.name.text)
                        .and_then(|said| said.ty),
                ),
                default: match head.default {
                    None => Default::Missing,
                    Some(tokens) => literal::json(Lang::R, tokens).map_or(Default::Unknown, Default::Json),
                },
                is_keyword: false,
            });
        let params = params.collect();
        let declared = Declared {
            name: name.text.to_string(),
            place: name.place,
            params,
            is_variadic: heads.iter().any(|head| is_dots(&head)),
            returns: read(said.returns),
        };
        self.collector.function(said, declared);
    }
}

/// A parameter as it stands in a head.
struct Head<'a, 't> {
    name: Token<'a>,
    default: Option<&'t [Token<'a>]>,
}

/// The parameters from the opening parenthesis on.
fn params<'a, 't>(tokens: &'t [Token<'a>]) -> Vec<Head<'a, 't>> {
    let mut params = Vec::new();
    let mut open = 0usize;
    let mut start = 1;
    for (at, token) in tokens.iter().enumerate() {
        let text = if token.kind == Kind::Sign { token.text } else { "" };
        match text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 || (open == 1 && text == ",") {
            let part = &tokens[start.min(at)..at];
            let code = part.iter().position(|token| token.kind != Kind::Comment);
            if let [name, rest @ ..] = &part[code.unwrap_or(part.len())..] {
                let default = rest
                    .first()
                    .is_some_and(|equals| equals.is("="))
                    .then(|| &rest[1..]);
                params.push(Head { name: *name, default });
            }
            start = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    params
}

#[cfg(test)]
mod tests {
    fn check(text: &str, expected: &str) {
        crate::source::tests::check("r", text, expected);
    }

    #[test]
    fn functions() {
        check(
            "#' The mean.\n#'\n#' @param xs [Real] The numbers\n#'   in a row [metavar: XS]\n#' @param k Int\n#' @return Real The mean\n\
             #' @export\nmean_of <- function(xs, k = 5L) {\n  # f :: Int\n  g <- function() 1\n}\n",
            "8:1 (xs, k)\nThe mean.\nreturn: The mean\nmean_of ::\n  --' The numbers\n  --' in a row\n  --' metavar: XS\n  \
             [Real] ->\n  --' arg: -k\n  --' default: 5\n  Int ->\n  Real\n",
        );
        check(
            "#' forecast :: Int -> [Real] -> [(Real, Real)]\n#' @param months How many\nforecast <- function(months, # of them\n  values, ...) {}\n",
            "3:1 (months, values)\nforecast ::\n  --' How many\n  Int ->\n  [Real] ->\n  [(Real, Real)]\n",
        );
        check(
            "# f.x :: Int -> Int\nf.x = \\(x, y = c(1, 2)) x\n",
            "2:1 (x)\nf.x :: Int -> Int\n",
        );
        check(
            "# f :: Int -> [Real] -> Int\nf <- function(x, y = c(1, 2)) x\n",
            "2:1 (x, y)\nf ::\n  Int ->\n  --' arg: -y\n  --' default: [1,2]\n  [Real] ->\n  Int\n",
        );
        check(
            "# record P = P { a :: Int }\n\n#' @param p P Somebody\n#' @return P\nf <- function(p) p\n",
            "5:1 (p)\nf ::\n  --' Somebody\n  P ->\n  P\nrecord P = P {\n  a :: Int\n}\nnames P at 3:13\nnames P at 4:12\n",
        );
    }

    #[test]
    fn what_is_no_type() {
        check(
            "#' @param n Number of rows\n#' @return [optional] A name\nf <- function(n) n\n",
            "",
        );
        check(
            "#' @param n Int\n#' @return Str the name\n.f <- function(n) n\n",
            "",
        );
        check("f <- function(n) n\nx <- 'a\n# f :: Int\n'", "");
        check("if (x) {\n# f :: Int\nf <- function() 1\n}", "");
    }

    #[test]
    fn flaws() {
        check(
            "#' f :: [Int\nf <- function(x) x\n",
            "error 1:13+1 ended here, expected ']'\n",
        );
        check(
            "# f :: Int -> Int\nf <- 1\n",
            "error 1:3+1 the signature of 'f' has no function below it\n",
        );
        check(
            "# f :: Int -> Int\nf <- function(",
            "error 1:3+1 the signature of 'f' has 1 parameter, the function has 0\n",
        );
        check(
            "#' @param n Int\nf <- function(n) n\n",
            "warning 2:1+1 'f' is not exported: its result has no type\n",
        );
    }
}
