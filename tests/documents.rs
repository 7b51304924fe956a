//! The documents as their readers meet them: a README that is read in one go, and links that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gristmill::domain::actor_kind::ActorKind;

/// Lines and bytes of the README.
const README_LINES_MAX: usize = 200;
const README_BYTES_MAX: usize = 12_288;

/// Documents beside those in `docs/`.
const AT_THE_ROOT: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document's lines outside of code blocks.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors of its headings, as GitHub and other renderers make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut met = BTreeMap::<String, usize>::new();
    let marked = lines(text).filter(|line| line.starts_with('#'));
    let headings = marked.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    headings
        .map(|heading| {
            let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let before = met.entry(anchor.clone()).and_modify(|count| *count += 1).or_default();
            if *before == 0 { anchor } else { format!("{anchor}-{before}") }
        })
        .collect()
}

/// The targets of its links and images that are no address elsewhere.
fn links(text: &str) -> Vec<String> {
    let prose = lines(text).collect::<Vec<_>>().join("\n");
    // What is set as code is no link; its marks come in pairs within a paragraph.
    let paragraphs = prose.split("\n\n").map(|paragraph| paragraph.split('`').step_by(2).collect::<String>());
    let targets = |paragraph: String| {
        let ends = paragraph.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        ends.filter(|target| !target.contains("://")).map(str::to_owned).collect::<Vec<_>>()
    };
    paragraphs.flat_map(targets).collect()
}

/// What is wrong with a link of a document in `folder` whose text is `text`.
fn flaw(folder: &Path, text: &str, link: &str) -> Option<&'static str> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = folder.join(path);
    if !path.is_empty() && !target.exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    let found = if path.is_empty() { anchors(text) } else { anchors(&fs::read_to_string(target).unwrap_or_default()) };
    (!found.contains(anchor)).then_some("no such heading")
}

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = AT_THE_ROOT.iter().map(|name| root().join(name)).collect();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the tree is readable") {
            let path = entry.expect("the tree is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let lines = text.lines().count();
    let bytes = text.len();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, limit {README_LINES_MAX}");
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes, limit {README_BYTES_MAX}");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut read = 0;
    let mut flaws = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        let folder = document.parent().expect("a file is in a folder");
        for link in links(&text) {
            read += 1;
            if let Some(flaw) = flaw(folder, &text, &link) {
                flaws.push(format!("{}: {link}: {flaw}", document.strip_prefix(root()).unwrap_or(&document).display()));
            }
        }
    }
    assert!(read > 50, "the documents were not read: {read} links");
    assert!(flaws.is_empty(), "{} of {read} links:\n{}", flaws.len(), flaws.join("\n"));
}

/// Where a reader looks for the name of a stage, and where for that of its pool.
const NAMES_STAGES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "docs/durability.md"];
const NAMES_POOLS: [&str; 3] = ["docs/api.md", "docs/operations.md", "docs/clients.md"];

#[test]
fn every_stage_is_in_the_documents() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("the document is there").to_lowercase();
    let mut missing = Vec::new();
    for stage in ActorKind::stages() {
        let name = stage.name();
        let pool = stage.pool_name();
        missing.extend(NAMES_STAGES.iter().filter(|path| !read(path).contains(name)).map(|path| (path, name)));
        missing.extend(NAMES_POOLS.iter().filter(|path| !read(path).contains(pool)).map(|path| (path, pool)));
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn links_and_headings_are_found_as_renderers_find_them() {
    let text = "# Users and tokens\n\n## `import`, again\n## Limits\n## Limits\n```sh\n# no heading, [no](link)\n```\n\
                See [a](#limits), `[b](c.md)`, ![d\ne](f.png) and [`g`](h.md#i) or [j](https://example.org/).\n";
    let anchors: Vec<_> = anchors(text).into_iter().collect();
    assert_eq!(anchors, ["import-again", "limits", "limits-1", "users-and-tokens"]);
    assert_eq!(links(text), ["#limits", "f.png", "h.md#i"]);
    let flaws = ["#limits-1", "#limits-2", "README.md", "NOTHING.md", "README.md#gristmill", "README.md#nothing"];
    let flaws = flaws.map(|link| flaw(root(), text, link).unwrap_or("fine"));
    assert_eq!(flaws, ["fine", "no such heading", "fine", "no such file", "fine", "no such heading"]);
}
