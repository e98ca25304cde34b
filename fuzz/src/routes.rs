//! Fuzzed routes and paths: whatever they are, they are refused or found, and what is found is what the route says.

use nexus::flow::http::{Found, Route, Routes};

/// Lines: routes as `METHOD PATH`, then after an empty line requests in the same form.
pub fn routes(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (written, asked) = text.split_once("\n\n").unwrap_or((text, ""));
    let pairs = |text: &str| -> Vec<(String, String)> {
        text.lines()
            .map(|line| {
                let (method, path) = line.split_once(' ').unwrap_or(("", line));
                (method.to_string(), path.to_string())
            })
            .collect()
    };
    let written = pairs(written);
    let list: Vec<Route> = written
        .iter()
        .map(|(method, path)| Route { method, path })
        .collect();
    let Ok(routes) = Routes::new(&list) else { return };
    // Every route that takes no names is found by its own path, unless one that is written out before it is the same.
    for (method, path) in &written {
        if !path.contains([':', '*']) && !method.is_empty() && method != "*" {
            let found = routes.find(&method.to_ascii_uppercase(), path);
            assert!(
                matches!(found, Ok(Found::Route(..))),
                "{method} {path}: {found:?}"
            );
        }
    }
    for (method, path) in pairs(asked) {
        match routes.find(&method, &path) {
            Ok(Found::Route(position, params)) => {
                let names = written[position]
                    .1
                    .split('/')
                    .filter(|part| part.starts_with([':', '*']));
                assert_eq!(names.count(), params.len());
            }
            Ok(Found::Method(methods)) => assert!(!methods.is_empty() && !methods.contains(&method)),
            Ok(Found::Nothing) | Err(_) => {}
        }
    }
}
