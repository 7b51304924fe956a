//! The words of names: those of a private vocabulary are refused. `docs/glossary.md` has the terms to use.

use super::plants::finds;
use super::source::Source;
use super::{assert_clean, fault};

/// Each of these stood for one of the field's terms once.
const REFUSED: [&str; 34] = [
    "asked",
    "bow",
    "brakes",
    "custody",
    "desk",
    "door",
    "doubt",
    "ear",
    "elsewhere",
    "entrust",
    "hear",
    "hinted",
    "hints",
    "house",
    "ill",
    "ink",
    "keeper",
    "keepers",
    "laid",
    "lay",
    "lull",
    "meant",
    "neighbour",
    "neighbours",
    "pace",
    "refuge",
    "spare",
    "tell",
    "tells",
    "touch",
    "turnstile",
    "watcher",
    "way",
    "wish",
];

/// Names in this file, its own among them, that contain a refused word.
pub fn private_words(source: &Source) -> Vec<String> {
    let refused = |name: &str| words(name).into_iter().find(|word| REFUSED.contains(&word.as_str()));
    let text = |name: &str, word: &str| format!("`{name}` contains `{word}`: docs/glossary.md has the field's terms");
    let stem = source.path.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")).unwrap_or_default();
    let of_file = refused(stem).map(|word| format!("{}: {}", source.path, text(stem, &word)));
    let names = (0..source.len()).filter(|at| source.text(*at).starts_with(|first: char| first.is_alphabetic()));
    let of_names = names.filter_map(|at| {
        let name = source.text(at);
        refused(name).map(|word| fault(source, at, &text(name, &word)))
    });
    of_file.into_iter().chain(of_names).collect()
}

/// `snake_case`, `CamelCase` and `SCREAMING_CASE` as words in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().expect("there is one").extend(letter.to_lowercase());
        }
        before = letter;
    }
    words
}

#[test]
fn names_use_the_fields_terms() {
    assert_clean(super::PRODUCT.iter().flat_map(private_words));
}

#[test]
fn private_words_are_found() {
    finds(private_words, 1, "src/pipeline/custody.rs", "");
    finds(private_words, 3, "src/pipeline/node.rs", "fn tell_line(wish: Wish) {}");
    finds(private_words, 1, "src/http/auth.rs", "const TOUCH_SECONDS: u64 = 1;");
    finds(private_words, 0, "src/http/auth.rs", "// a wish\nfn intellectual(text: &str) { log(\"told elsewhere\") }");
}
