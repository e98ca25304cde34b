//! The small program that `nexus new` makes: a source in each language, and a composition of them. Builds nothing.

use crate::build::language::{LANGUAGES, Language};
use crate::build::order::check_name;
use crate::build::stage::failed;
use crate::build::text::{is_name, names_of};
use crate::codec::nearest::nearest;
use crate::error::{Error, Kind, Result};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A source of the program, with a function that takes numbers.
struct Template {
    language: &'static str,
    file: &'static str,
    /// Its functions; the first is composed.
    functions: &'static [&'static str],
    /// What that gives.
    returns: &'static str,
    /// What it does, where it is composed.
    told: &'static str,
    text: &'static str,
}

/// In the order in which one takes what another gives.
const TEMPLATES: [Template; 4] = [
    Template {
        language: "py",
        file: "differences.py",
        functions: &["differences", "describe"],
        returns: "[Real]",
        told: "what changes",
        text: include_str!("templates/differences.py"),
    },
    Template {
        language: "cpp",
        file: "smooth.cpp",
        functions: &["smooth"],
        returns: "[Real]",
        told: "smoothed",
        text: include_str!("templates/smooth.cpp"),
    },
    Template {
        language: "r",
        file: "standardize.R",
        functions: &["standardize"],
        returns: "[Real]",
        told: "on a common scale",
        text: include_str!("templates/standardize.R"),
    },
    Template {
        language: "js",
        file: "bars.js",
        functions: &["bars"],
        returns: "Str",
        told: "as bars",
        text: include_str!("templates/bars.js"),
    },
];

/// Makes the program in a folder that is new or empty. Gives the words of a command to try.
///
/// # Errors
/// Kind `usage`: the folder holds something, or a language is none. Kind `io`: something can't be written.
pub fn create(folder: &Path, languages: &[&str]) -> Result<String> {
    for language in languages {
        if Language::named(language).is_none() {
            let names = LANGUAGES.each_ref().map(|language| language.name);
            let message = format!(
                "'{language}' is no language, expected some of {}",
                names.join(",")
            );
            let error = Error::new(Kind::Usage, message);
            return Err(match nearest(language, names) {
                Some(name) => error.hint(format!("did you mean {name}?")),
                None => error,
            });
        }
    }
    let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    // Of `.` and the like only the system knows the name.
    own.map_or(Ok(()), |name| check_name(&name))?;
    fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, &error))?;
    let found = fs::read_dir(folder).map_err(|error| failed("read", folder, &error))?;
    if found.count() > 0 {
        let message = format!("{} is not empty", folder.display());
        return Err(Error::new(Kind::Usage, message).hint("give a folder that is new or empty"));
    }
    let place = fs::canonicalize(folder).map_err(|error| failed("read", folder, &error))?;
    let name = place
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let chosen: Vec<&Template> = TEMPLATES
        .iter()
        .filter(|template| languages.contains(&template.language))
        .collect();
    let put = |file: &str, text: &str| {
        let path = folder.join(file);
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))
    };
    for template in &chosen {
        put(template.file, template.text)?;
    }
    put(&format!("{name}.loc"), &composition(&name, &chosen))?;
    Ok(format!("{name} overview '[3, 1, 4, 1, 5, 9, 2, 6]'"))
}

/// The composition of the chosen sources.
fn composition(name: &str, chosen: &[&Template]) -> String {
    let mut text = String::new();
    let functions: Vec<&str> = chosen
        .iter()
        .flat_map(|template| template.functions)
        .copied()
        .collect();
    let mut composed: Vec<&str> = chosen
        .iter()
        .filter_map(|template| template.functions.first())
        .copied()
        .collect();
    composed.reverse();
    let module = names_of(&[name], &[]).remove(0);
    let module = if is_name(name) { name } else { &module };
    let returns = chosen.last().map_or("[Real]", |template| template.returns);
    let told: Vec<&str> = chosen.iter().map(|template| template.told).collect();
    let _ = write!(
        text,
        "-- Which commands the program has, and what they are made of. Two dashes begin a comment; with a quote behind them it\n\
         -- is what the help says. Without this file every function with a signature would be a command.\n\n\
         --' A look at series of numbers.\n\
         module {module} ({}, overview, overviews)\n\n",
        functions.join(", ")
    );
    for template in chosen {
        let word = Language::named(template.language).map_or("", |language| language.word);
        let _ = writeln!(
            text,
            "source {word} from \"{}\" (\"{}\")",
            template.file,
            template.functions.join("\", \"")
        );
    }
    let _ = write!(
        text,
        "\n--' All at once: {}.\n\
         overview :: [Real] -> {returns}\n\
         overview = {}\n\n\
         -- Four at a time, in as many workers of each language.\n\
         --' The same for each of many series.\n\
         overviews :: [[Real]] -> [{returns}]\n\
         overviews = pmap 4 overview\n",
        told.join(", "),
        composed.join(" . ")
    );
    text
}
