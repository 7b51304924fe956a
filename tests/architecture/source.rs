//! Reads Rust just well enough for the rules: text without comments and literals, functions, paths.

/// One Rust file.
#[derive(Debug)]
pub struct Source {
    /// Its path from the root of the tree, with `/`.
    pub path: String,
    /// Its code: comments and the insides of literals are spaces, lines stay where they are.
    pub code: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl Source {
    /// Takes a file apart.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), code: blank_literals(text) }
    }

    /// The line of this byte, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Where these words stand as whole tokens: `sleep(`, `Utc::now`.
    pub fn find(&self, words: &str) -> Vec<usize> {
        let whole = |at: &usize| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[at + words.len()..].chars().next();
            let grows_left = words.starts_with(is_word) && before.is_some_and(is_word);
            let grows_right = words.ends_with(is_word) && after.is_some_and(is_word);
            !grows_left && !grows_right
        };
        self.code.match_indices(words).map(|(at, _)| at).filter(whole).collect()
    }

    /// Where paths start with this name, as a crate's: `entity::…`, `use entity;`.
    pub fn uses_of_crate(&self, name: &str) -> Vec<usize> {
        let of_crate = |at: &usize| {
            let (before, after) = (self.code[..*at].trim_end(), self.code[at + name.len()..].trim_start());
            let inner = before.ends_with("::") && before[..before.len() - 2].ends_with(is_word);
            !inner && (after.starts_with("::") || before.ends_with("use") || before.ends_with("extern crate"))
        };
        self.find(name).into_iter().filter(of_crate).collect()
    }

    /// Every path that starts with `root`, groups spelled out: `crate::{a::b, c}` is `[a, b]` and `[c]`.
    pub fn paths(&self, root: &str) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let starts = |at: &usize| !self.code[..*at].trim_end().ends_with("::");
        for at in self.find(root).into_iter().filter(starts) {
            let rest = &self.code[at + root.len()..];
            if let Some(rest) = rest.trim_start().strip_prefix("::") {
                spell_out(rest, &mut Vec::new(), &mut |path| paths.push((at, path.to_vec())));
            }
        }
        paths
    }

    /// The functions that have a body, inner ones too.
    pub fn functions(&self) -> Vec<Function> {
        self.find("fn").into_iter().filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let rest = &self.code[at + 2..];
        let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() {
            return None;
        }
        let line = self.line_of(at);
        let mut depth = 0_i32;
        let mut in_body = false;
        for (offset, c) in rest.char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ';' if depth == 0 && !in_body => return None,
                '{' => {
                    in_body |= depth == 0;
                    depth += 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
            if in_body && depth == 0 {
                let lines = self.line_of(at + 2 + offset) + 1 - line;
                return Some(Function { name, line, lines });
            }
        }
        None
    }
}

/// Walks a use tree and gives each path in it; returns what follows the tree.
fn spell_out<'a>(text: &'a str, path: &mut Vec<String>, found: &mut impl FnMut(&[String])) -> &'a str {
    let text = text.trim_start();
    let Some(mut rest) = text.strip_prefix('{') else {
        let end = text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len());
        path.push(text[..end].to_owned());
        let rest = match text[end..].trim_start().strip_prefix("::") {
            Some(inner) => spell_out(inner, path, found),
            None => {
                found(path);
                &text[end..]
            }
        };
        path.pop();
        return rest;
    };
    loop {
        rest = spell_out(rest, path, found).trim_start();
        // A renamed item: `name as other`.
        rest = rest.trim_start_matches(|c| is_word(c) || c == ' ');
        match rest.strip_prefix(',').map(str::trim_start) {
            Some(next) if !next.starts_with('}') => rest = next,
            Some(end) => return end.strip_prefix('}').unwrap_or(end),
            None => return rest.strip_prefix('}').unwrap_or(rest),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Writes spaces over comments and the insides of string and character literals.
fn blank_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = code.ends_with(is_word);
        let length = literal_length(rest, after_word).unwrap_or(0);
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let blanks = rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
            code.extend(blanks);
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment or literal that starts here, if one does.
fn literal_length(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let tail = rest.strip_prefix(prefix).unwrap_or("x");
        tail.starts_with('"') || (prefix.ends_with('r') && tail.trim_start_matches('#').starts_with('"'))
    })?;
    if after_word && !prefix.is_empty() {
        return None;
    }
    let tail = &rest[prefix.len()..];
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let open = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let inside = rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len());
        return Some(inside);
    }
    Some(open + escaped_length(&rest[open..], '"'))
}

/// Bytes up to and with the closing quote, escapes skipped.
fn escaped_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// A character literal, not a lifetime: an escape, or a quote right after one character.
fn character_length(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    let first = inside.chars().next()?;
    let is_literal = first == '\\' || inside[first.len_utf8()..].starts_with('\'');
    is_literal.then(|| 1 + escaped_length(inside, '\''))
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}
