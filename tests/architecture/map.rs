//! The map: each path that the contributors' documents name is there.

use std::fs;
use std::path::Path;

/// Documents that name paths of the tree in code spans.
const DOCUMENTS: [&str; 8] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/durability.md",
    "docs/glossary.md",
    "docs/internals.md",
    "docs/logging.md",
    "docs/spans.md",
    "docs/testing.md",
];

/// How a path begins that is given from the root.
const FOLDERS: [&str; 6] = ["src/", "tests/", "entity/", "migration/", "ops/", "findings/"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

/// Whether a Rust file's path ends with this one, which is given from some folder on.
fn is_end_of_a_file(path: &str) -> bool {
    let end = format!("/{path}");
    super::PRODUCT.iter().chain(&*super::TESTS).any(|source| source.path.ends_with(&end))
}

/// The paths of an indented listing: what stands before two spaces, by commas, below the folder that it is indented under.
fn listed(tree: &str) -> Vec<String> {
    let mut folders: Vec<(usize, String)> = Vec::new();
    let mut paths = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        folders.retain(|(outer, _)| *outer < depth);
        let base: String = folders.iter().map(|(_, name)| name.as_str()).collect();
        let names = line.trim().split("  ").next().unwrap_or_default();
        paths.extend(names.split(", ").map(|name| format!("{base}{name}")));
        if names.ends_with('/') && !names.contains(", ") {
            folders.push((depth, names.to_owned()));
        }
    }
    paths
}

#[test]
fn every_entry_of_the_map_is_there() {
    let document = read("ARCHITECTURE.md");
    let (_, section) = document.split_once("## The tree\n").expect("the tree");
    let paths = listed(section.split("```").nth(1).expect("a listing"));
    assert!(paths.len() > 50, "the tree was not read: {paths:?}");
    let missing: Vec<&String> = paths.iter().filter(|path| !exists(path)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md lists {missing:?}");
}

#[test]
fn every_path_that_a_guide_names_is_there() {
    let mut named = 0;
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let is_whole = |span: &str| FOLDERS.iter().any(|folder| span.starts_with(folder));
        let is_end = |span: &str| span.contains('/') && span.ends_with(".rs");
        let spans = text.split('`').filter(|span| is_whole(span) || is_end(span));
        for path in spans.filter(|span| !span.contains([' ', '<', '{', '…', '\n'])) {
            named += 1;
            let is_there = exists(path) || (is_end(path) && is_end_of_a_file(path));
            if !is_there {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(named > 100, "the documents were not read: {named} paths");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_listing_is_read_by_its_indentation() {
    let tree = "a/        one\n  b.rs, c.rs   two and three\n  d/   four\n    e.rs   five\nf   six\n";
    assert_eq!(listed(tree), ["a/", "a/b.rs", "a/c.rs", "a/d/", "a/d/e.rs", "f"]);
}
