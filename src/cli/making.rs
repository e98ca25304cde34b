//! `nexus new` and `nexus build` on the command line: what they are told, and what they say. Makes nothing itself.

use crate::build::builder::{Built, Saying, build as make};
use crate::build::compiler::Tools;
use crate::build::order::Order;
use crate::build::served;
use crate::build::template;
use crate::cli::output;
use crate::cli::style::Style;
use crate::error::{Error, Kind, Result};
use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Builds a program, and says in one line on standard error what was done.
pub fn build(paths: &[String], output: Option<&str>) -> Result<ExitCode> {
    let begin = Instant::now();
    let order = Order::new(paths, output)?;
    let stderr = io::stderr();
    let (tools, nexus) = (tools(stderr.is_terminal()), own_file()?);
    let style = Style::of(&stderr);
    let mut say = |saying: Saying, text: &str| {
        let word = match saying {
            Saying::Error => style.red("error:"),
            Saying::Warning => style.bold("warning:"),
            Saying::Output => return tell(text),
        };
        tell(&format!("{} {word} {text}", style.bold("nexus:")));
    };
    let built = make(&order, &tools, &nexus, &mut say)?;
    tell(&told(&order.name, &built, begin.elapsed().as_millis()));
    Ok(ExitCode::SUCCESS)
}

/// Builds a folder for a server that is to serve it, into `home`: the path of its manifest.
///
/// # Errors
/// As those of a build; the first that is wrong with a source, with its place.
pub fn build_served(folder: &Path, home: &Path) -> Result<PathBuf> {
    let order = served::order(folder, home)?;
    let mut first = String::new();
    let mut say = |saying: Saying, text: &str| {
        if saying == Saying::Error && first.is_empty() {
            first = text.lines().next().unwrap_or_default().to_string();
        }
        tell(text);
    };
    let built = make(&order, &tools(false), &own_file()?, &mut say);
    built.map_err(|mut error| {
        if !first.is_empty() {
            error.message = format!("{}: {first}", error.message);
        }
        error
    })?;
    for name in served::requirements(folder) {
        tell(&format!(
            "{}/{name}: what it names is not installed by nexus, and has to be there\n",
            folder.display()
        ));
    }
    // Where npm has put modules, node finds them beside the pool.
    let modules = folder.join("node_modules");
    if modules.is_dir() {
        let _ = std::os::unix::fs::symlink(modules, order.pools().join("node_modules"));
    }
    Ok(order.manifest())
}

fn tools(is_colored: bool) -> Tools {
    let text = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    Tools {
        path: env::var_os("PATH").unwrap_or_default(),
        cxx: text("CXX")
            .filter(|words| !words.trim().is_empty())
            .unwrap_or_else(|| "c++".into()),
        flags: text("NEXUS_CXXFLAGS").unwrap_or_default(),
        is_colored,
    }
}

fn own_file() -> Result<PathBuf> {
    env::current_exe()
        .map_err(|error| Error::new(Kind::Io, format!("can't find the file of this program: {error}")))
}

/// `built stats: 3 commands in py, cpp; 1.2 s`
fn told(name: &str, built: &Built, ms: u128) -> String {
    if !built.is_changed {
        return format!("{name} is up to date\n");
    }
    let commands = match built.commands {
        1 => "1 command".to_string(),
        count => format!("{count} commands"),
    };
    let languages = match built.languages.as_slice() {
        [] => String::new(),
        languages => format!(" in {}", languages.join(", ")),
    };
    let time = match ms {
        0..1000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    };
    format!("built {name}: {commands}{languages}; {time}\n")
}

/// Makes a small program, and says what to type next.
pub fn create(folder: Option<&str>, languages: &str) -> Result<ExitCode> {
    let Some(folder) = folder else {
        return Err(
            Error::new(Kind::Usage, "no folder is given").hint("usage: nexus new DIR [--lang py,cpp,r,js]")
        );
    };
    let languages: Vec<&str> = languages.split(',').collect();
    let example = template::create(Path::new(folder), &languages)?;
    let text = format!("nexus build {folder}\n{folder}/{example}\n");
    output::print_text(text.as_bytes()).map(|()| ExitCode::SUCCESS)
}

fn tell(text: &str) {
    // Where standard error can't be written, the exit code still tells.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(commands: usize, languages: &[&str], is_changed: bool, ms: u128, expected: &str) {
        let languages = languages.iter().map(|language| language.to_string()).collect();
        let built = Built {
            commands,
            languages,
            is_changed,
        };
        assert_eq!(told("stats", &built, ms), expected);
    }

    #[test]
    fn one_line_tells_what_was_done() {
        check(
            3,
            &["py", "cpp"],
            true,
            1234,
            "built stats: 3 commands in py, cpp; 1.2 s\n",
        );
        check(1, &[], true, 7, "built stats: 1 command; 7 ms\n");
        check(1, &["py"], false, 7, "stats is up to date\n");
    }
}
