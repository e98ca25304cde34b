//! The pool of Python: a script that imports the sources and registers their functions.

use crate::build::pool::{Pool, Written};
use crate::build::text::{is_name, names_of, quoted, quoted_list};
use crate::source::signature::Record;
use crate::source::types::Type;
use std::fmt::Write;

/// Writes the script.
pub fn write(pool: &Pool<'_>) -> Written {
    let mut text = format!(
        "# The Python pool of {}: which functions it offers, under which numbers and types. Written by nexus build.\n\
         import nexus_pool\n",
        pool.program
    );
    let paths: Vec<&str> = pool.parts.iter().map(|part| part.file.path.as_str()).collect();
    let names = names_of(&paths, &["nexus_pool", "sys"]);
    // What lies in a folder of its own, and is no package, imports what lies beside it.
    let has = |path: &str| pool.sources.iter().any(|file| file.path == path);
    let folders = paths.iter().filter_map(|path| path.rsplit_once('/'));
    let mut folders: Vec<&str> = folders
        .map(|(folder, _)| folder)
        .filter(|folder| !has(&format!("{folder}/__init__.py")))
        .collect();
    folders.dedup();
    if !folders.is_empty() {
        text.push_str("import sys\n\n");
        for folder in folders {
            let _ = writeln!(
                text,
                "sys.path.append(sys.path[0] + {})",
                quoted(&format!("/{folder}"))
            );
        }
    }
    for (path, name) in paths.iter().zip(&names) {
        let module = path.trim_end_matches(".py").replace('/', ".");
        let module = module.trim_end_matches(".__init__");
        let _ = match module.split('.').all(is_name) {
            true if module == name => writeln!(text, "import {name}"),
            true => writeln!(text, "import {module} as {name}"),
            false => writeln!(text, "{name} = __import__({}, fromlist=[\"\"])", quoted(module)),
        };
    }
    text.push('\n');
    for (part, name) in pool.parts.iter().zip(&names) {
        for instance in &part.instances {
            let schema = |ty: &Type| Schemas::of(ty, pool.records);
            let args: Vec<String> = instance.params.iter().map(|param| schema(&param.ty)).collect();
            let _ = write!(
                text,
                "nexus_pool.register({}, {name}.{}, args=[{}], returns={}",
                instance.mid,
                instance.function,
                quoted_list(&args),
                quoted(&schema(&instance.returns))
            );
            let keywords = instance.params.iter().filter(|param| param.is_keyword);
            let keywords: Vec<String> = keywords.filter_map(|param| param.name.clone()).collect();
            if !keywords.is_empty() {
                let _ = write!(text, ", keywords=[{}]", quoted_list(&keywords));
            }
            text.push_str(")\n");
        }
    }
    text.push_str("nexus_pool.serve()\n");
    Written::new("pool.py", text)
}

/// Schemas in which each record has its name as a hint: the runtime makes objects of the class that has it.
struct Schemas<'s> {
    records: &'s [Record],
    /// Records that this place is in.
    open: Vec<&'s str>,
    text: String,
}

impl<'s> Schemas<'s> {
    fn of(ty: &Type, records: &'s [Record]) -> String {
        let mut schemas = Schemas {
            records,
            open: Vec::new(),
            text: String::new(),
        };
        schemas.write(ty);
        schemas.text
    }

    fn write(&mut self, ty: &Type) {
        match ty {
            Type::Base(base) => self.text.push_str(base.schema()),
            Type::List(inner) => {
                self.text.push('[');
                self.write(inner);
                self.text.push(']');
            }
            Type::Optional(inner) => {
                self.text.push('?');
                self.write(inner);
            }
            Type::Tuple(parts) => self.write_all(parts),
            Type::Function(params, result) => {
                self.text.push('\\');
                self.write_all(params);
                self.write(result);
            }
            Type::Named(name) => self.write_record(name),
            // A worker is its number; a variable is at no place that is registered.
            Type::Worker(..) | Type::Variable(_) => self.text.push_str("u8"),
        }
    }

    fn write_all(&mut self, types: &[Type]) {
        self.text.push('(');
        for (position, ty) in types.iter().enumerate() {
            self.text.push_str(if position > 0 { "," } else { "" });
            self.write(ty);
        }
        self.text.push(')');
    }

    fn write_record(&mut self, name: &str) {
        let Some(record) = self.records.iter().find(|record| record.name == name) else {
            return;
        };
        // What a schema calls a record that holds itself: its number here, behind its length.
        let number = self.open.iter().position(|open| *open == record.name);
        if let Some(number) = number {
            let _ = write!(self.text, "^{}", label(number));
            return;
        }
        let start = self.text.len();
        let own = format!("^{}", label(self.open.len()));
        self.open.push(&record.name);
        let _ = write!(self.text, "<{name}>{{");
        for (position, field) in record.fields.iter().enumerate() {
            let _ = write!(
                self.text,
                "{}{}:",
                if position > 0 { "," } else { "" },
                field.name
            );
            self.write(&field.ty);
        }
        self.text.push('}');
        self.open.pop();
        if self.text[start..].contains(&own) {
            self.text.insert_str(start, &own.replace('^', "&"));
        }
    }
}

/// The label of a record in a schema: its length, one digit, and its number.
fn label(number: usize) -> String {
    let number = format!("r{number}");
    format!("{}{number}", number.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::notation::{parse_record, parse_type};
    use crate::source::signature::Place;

    fn check(ty: &str, expected: &str) {
        let records = [
            "record Person = Person { name :: Str, age :: ?Int }",
            "record Team = Team { lead :: Person, all :: [Person] }",
            "record Tree = Tree { value :: Int, kids :: [Tree] }",
        ];
        let place = Place { line: 1, column: 1 };
        let mut mentions = Vec::new();
        let records = records.map(|text| parse_record(text, place, &mut mentions).unwrap());
        let ty = parse_type(ty, place, &mut mentions).unwrap();
        assert_eq!(Schemas::of(&ty, &records), expected);
    }

    #[test]
    fn records_are_named() {
        check("[Real]", "[f8]");
        check("(Int, ?Str)", "(i8,?s)");
        check("(Int -> Str) -> Bool", "\\(\\(i8)s)b");
        check("[Person]", "[<Person>{name:s,age:?i8}]");
        check(
            "Team",
            "<Team>{lead:<Person>{name:s,age:?i8},all:[<Person>{name:s,age:?i8}]}",
        );
        check("Tree", "&2r0<Tree>{value:i8,kids:[^2r0]}");
    }
}
