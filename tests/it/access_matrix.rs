//! The matrix of who may do what with shared things stands in `access.yaml` and `sharing.yaml` of the scenarios, as the
//! reference answers it, and is replayed with all scenarios. Here the table of routes is held against it: a route to a shared
//! thing that the matrix does not ask must be named below, and that list may only shrink.

use std::collections::BTreeSet;

/// Areas whose things are shared.
const AREAS: &[&str] = &[
    "prompts",
    "skills",
    "notes",
    "knowledge",
    "models",
    "tools",
    "channels",
    "files",
    "folders",
    "chats",
    "compaction",
    "approvals",
    "calendars",
];

/// Scenarios of the matrix.
const FILES: &[&str] = &["access", "sharing"];

/// Routes to one thing that the matrix leaves out.
const LEFT_OUT: &str = include_str!("access_left_out.txt");

/// A path with `{}` for everything that differs, without its query.
fn pattern(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut out = String::new();
    let mut depth = 0;
    for letter in path.chars() {
        match letter {
            '{' => {
                if depth == 0 {
                    out.push_str("{}");
                }
                depth += 1;
            }
            '}' => depth -= 1,
            _ if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}

/// What the matrix asks.
fn asked() -> BTreeSet<String> {
    let folder = oui_testkit::repository().join("conformance/scenarios");
    let read = |name: &&str| std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    let text: String = FILES.iter().map(read).collect();
    text.lines()
        .filter_map(|line| {
            let call = line.trim().trim_start_matches("- ").trim_start_matches("call: ");
            let (method, path) = call.split_once(' ')?;
            path.starts_with("/api/")
                .then(|| format!("{method} {}", pattern(path)))
        })
        .collect()
}

/// Ids that the matrix writes out: of what is not there, and of messages, secrets and files.
const IDS: &[&str] = &["none", "a", "u", "wrong", "alone.txt"];

/// Whether a call goes to a route.
fn reaches(call: &str, route: &str) -> bool {
    let same = |(call, route): (&str, &str)| call == route || (IDS.contains(&call) && route == "{}");
    call.split('/').count() == route.split('/').count() && call.split('/').zip(route.split('/')).all(same)
}

/// Whether a path leads to one thing: by an id in it or, for models, by one in its query or body.
fn is_about_one(area: &str, path: &str) -> bool {
    path.contains('{') || area == "models" && path.contains("/model/")
}

#[test]
fn every_route_to_a_shared_thing_is_in_the_matrix() {
    let asked = asked();
    let mut missing = BTreeSet::new();
    for area in oui_server::areas() {
        if !AREAS.contains(&area.name) {
            continue;
        }
        for (method, path, ..) in area.rows() {
            let route = format!("{method} {}", pattern(&path));
            if is_about_one(area.name, &path) && !asked.iter().any(|call| reaches(call, &route)) {
                missing.insert(route);
            }
        }
    }
    let listed: BTreeSet<String> = LEFT_OUT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let new: Vec<_> = missing.difference(&listed).collect();
    assert!(new.is_empty(), "not in the scenarios of the matrix: {new:#?}");
    let done: Vec<_> = listed.difference(&missing).collect();
    assert!(
        done.is_empty(),
        "take these out of access_left_out.txt: {done:#?}"
    );
    assert!(asked.len() > 100, "only {} calls were found", asked.len());
}
