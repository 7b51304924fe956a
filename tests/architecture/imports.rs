//! Which file uses what of which other: the graph of imports, by item, and the circles in it.
//!
//! A `use` and a path name an item; the arrow leads to the file that defines it, also where a parent re-exports it.
//! What only tests use is left out, and so are methods: no import names them.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, is_word};

/// Words that the name of an item follows.
const ITEMS: [&str; 8] = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];

/// Modules that hand each other's names on: more of them than this in a row are a circle of names.
const HANDED_ON_MAX: usize = 10;

/// A path in the tree or in the code, a name each.
type Names = Vec<String>;

/// Files that use each other: which uses which, and what of it.
pub type Circle = BTreeMap<(String, String), BTreeSet<String>>;

/// The modules of all crates, and what they name.
#[derive(Default)]
pub struct Imports {
    modules: BTreeMap<Names, Module>,
    /// Modules that are compiled for tests only.
    of_tests: BTreeSet<Names>,
}

/// A module: a file, or a `mod` with a body in one.
#[derive(Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    /// Names that a `use` binds, and to what; `*` for all of a module.
    bound: Vec<(String, Names)>,
    /// Paths of more than one name, those of `use` too.
    named: Vec<Names>,
}

/// What a path leads to.
enum Found {
    Module(Names),
    /// An item that this file defines.
    Item(String),
}

impl Imports {
    /// Reads the files.
    pub fn of<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut imports = Self::default();
        sources.into_iter().for_each(|source| imports.read(source));
        let Self { modules, of_tests } = &mut imports;
        modules.retain(|name, _| !of_tests.iter().any(|of_tests| name.starts_with(of_tests)));
        imports
    }

    /// Every circle of files, but for those of parents with their own children alone.
    pub fn circles(&self) -> Vec<Circle> {
        let arrows = self.arrows();
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in arrows.keys() {
            next.entry(from).or_default().insert(to);
        }
        let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|from| (*from, reach(&next, from))).collect();
        let leads = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
        let mut circles: BTreeMap<BTreeSet<&str>, Circle> = BTreeMap::new();
        for ((from, to), items) in arrows.iter().filter(|((from, to), _)| leads(to, from)) {
            let members = reached[from.as_str()].iter().filter(|member| leads(member, from)).copied().collect();
            circles.entry(members).or_default().insert((from.clone(), to.clone()), items.clone());
        }
        circles.into_values().filter(|circle| !circle.keys().all(|(from, to)| are_family(from, to))).collect()
    }

    /// Notes what a file defines, binds and names. Only outside of bodies are items those of the module.
    fn read(&mut self, source: &Source) {
        let mut open = vec![(module_of(&source.path), 0)];
        self.enter(&open[0].0, source);
        let (mut at, mut depth) = (0, 0);
        while at < source.len() {
            let (name, floor) = open.last().expect("the file itself stays open");
            let (is_open, name) = (depth == *floor, name.clone());
            let module = self.modules.get_mut(&name).expect("it was entered");
            match source.text(at) {
                "#" if source.is_at(at, "#[cfg(test)]") => {
                    let end = source.end_of_item(at + 7);
                    let inner = (at + 7..end).find(|at| source.text(*at) == "mod").map(|at| source.text(at + 1));
                    self.of_tests.extend(inner.map(|inner| child_of(&name, inner)));
                    at = end;
                }
                "use" if source.text(at + 1) != "<" => {
                    at = source.spell_out(at + 1, &mut Names::new(), &mut |path, other| module.bind(path, other));
                }
                "mod" if source.text(at + 2) == "{" => {
                    depth += 1;
                    open.push((child_of(&name, source.text(at + 1)), depth));
                    self.enter(&open[open.len() - 1].0, source);
                    at += 3;
                }
                "{" => (depth, at) = (depth + 1, at + 1),
                "}" => {
                    open.truncate(if is_open { open.len() - 1 } else { open.len() });
                    (depth, at) = (depth - 1, at + 1);
                }
                word if word.starts_with(is_word) => {
                    let place = if source.is_at(at, "macro_rules!") { at + 2 } else { at + 1 };
                    if is_open && (ITEMS.contains(&word) || place == at + 2) {
                        module.items.insert(source.text(place).to_owned());
                    }
                    let path = path_at(source, at);
                    at += 3 * path.len() - 2;
                    module.named.extend((path.len() > 1).then_some(path));
                }
                _ => at += 1,
            }
        }
    }

    fn enter(&mut self, name: &[String], source: &Source) {
        self.modules.insert(name.to_vec(), Module { file: source.path.clone(), ..Module::default() });
    }

    /// Which file uses what of which other.
    fn arrows(&self) -> Circle {
        let mut arrows = Circle::new();
        for (name, module) in &self.modules {
            for path in &module.named {
                let Some(Found::Item(to)) = self.find(name, path, 0).filter(|found| !found.is_in(&module.file)) else {
                    continue;
                };
                let item = path.last().cloned().unwrap_or_default();
                arrows.entry((module.file.clone(), to)).or_default().insert(item);
            }
        }
        arrows
    }

    /// What this path leads to, as seen from a module.
    fn find(&self, from: &[String], path: &[String], handed_on: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let next = rest.first().map(String::as_str);
        match first.as_str() {
            "crate" => self.find_in(&from[..1], rest, handed_on),
            "self" => self.find_in(from, rest, handed_on),
            "super" if next == Some("super") => self.find(from.split_last()?.1, rest, handed_on),
            "super" => self.find_in(from.split_last()?.1, rest, handed_on),
            _ => self.find_in(from, path, handed_on).or_else(|| self.find_in(&path[..1], rest, handed_on)),
        }
    }

    /// The same inside a module: among its children, its items, and what it has from elsewhere.
    fn find_in(&self, module: &[String], path: &[String], handed_on: usize) -> Option<Found> {
        let known = self.modules.get(module).filter(|_| handed_on < HANDED_ON_MAX)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(Found::Module(module.to_vec()));
        };
        let child = child_of(module, first);
        if self.modules.contains_key(&child) {
            return self.find_in(&child, rest, handed_on);
        }
        if known.items.contains(first) {
            return Some(Found::Item(known.file.clone()));
        }
        let bound = known.bound.iter().filter(|(name, _)| name == first || name == "*");
        bound.into_iter().find_map(|(name, target)| match self.find(module, target, handed_on + 1)? {
            Found::Module(module) => self.find_in(&module, if name == "*" { path } else { rest }, handed_on + 1),
            item @ Found::Item(_) => Some(item),
        })
    }
}

impl Module {
    /// Notes a path of a `use`, and its other name.
    fn bind(&mut self, path: &[String], other: Option<&str>) {
        let is_all = path.ends_with(&["*".to_owned()]);
        let is_module = is_all || path.len() > 1 && path.ends_with(&["self".to_owned()]);
        let target = &path[..path.len() - usize::from(is_module)];
        let name = other.or(target.last().map(String::as_str)).filter(|_| !is_all).unwrap_or("*");
        self.bound.push((name.to_owned(), target.to_vec()));
        self.named.push(target.to_vec());
    }
}

impl Found {
    fn is_in(&self, file: &str) -> bool {
        matches!(self, Self::Item(found) if found == file)
    }
}

/// The module that a file is: `src/store.rs` is `gristmill::store`.
fn module_of(path: &str) -> Names {
    let (of_crate, rest) = match path.split_once("src/").expect("code lies in `src` folders") {
        ("", "main.rs") => ("main", ""),
        ("", rest) => ("gristmill", rest),
        (of_crate, rest) => (of_crate.trim_end_matches('/'), rest),
    };
    let names = rest.trim_end_matches(".rs").split('/').filter(|name| !["", "lib"].contains(name));
    [of_crate].into_iter().chain(names).map(str::to_owned).collect()
}

fn child_of(module: &[String], name: &str) -> Names {
    [module, &[name.to_owned()]].concat()
}

/// Whether one of two files is the module right above the other.
fn are_family(one: &str, other: &str) -> bool {
    let (one, other) = (module_of(one), module_of(other));
    one.split_last().is_some_and(|(_, parent)| parent == other)
        || other.split_last().is_some_and(|(_, parent)| parent == one)
}

/// The path that begins at this place: names with `::` between them.
fn path_at(source: &Source, mut at: usize) -> Names {
    let mut path = vec![source.text(at).to_owned()];
    while source.is_at(at + 1, "::") && source.text(at + 3).starts_with(is_word) {
        at += 3;
        path.push(source.text(at).to_owned());
    }
    path
}

/// All files that arrows lead to from here.
fn reach<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(next.get(file).into_iter().flatten());
        }
    }
    reached
}
