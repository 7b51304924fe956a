//! Rust as tokens: what comments and literals say is gone, and every token knows its line.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One Rust file.
#[derive(Debug)]
pub struct Source {
    /// Its path from the root of the tree, with `/`.
    pub path: String,
    /// How many lines it has.
    pub lines: usize,
    tokens: Vec<Token>,
}

/// A word, a sign, or one end of a group; a literal is `""`.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
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
        let stream = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        Self { path: path.to_owned(), lines: text.lines().count(), tokens }
    }

    /// How many tokens it has.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token at this place; nothing behind the last one.
    pub fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// The line of the token at this place, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.tokens[at].line
    }

    /// Where these tokens stand: `sleep(`, `Utc::now`.
    pub fn find(&self, words: &str) -> Vec<usize> {
        (0..self.len()).filter(|at| self.is_at(*at, words)).collect()
    }

    /// Whether these tokens stand at this place.
    pub fn is_at(&self, at: usize, words: &str) -> bool {
        let (mut at, mut rest) = (at, words);
        while let Some(first) = rest.chars().next() {
            let end = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
            if self.text(at) != &rest[..end] {
                return false;
            }
            (at, rest) = (at + 1, rest[end..].trim_start());
        }
        true
    }

    /// Where paths start with this name, as a crate's: `entity::…`, `use entity;`.
    pub fn uses_of_crate(&self, name: &str) -> Vec<usize> {
        let of_crate = |at: &usize| {
            let is_inner = *at > 2 && self.is_at(at - 2, "::") && self.text(at - 3).starts_with(is_word);
            let is_imported = *at > 0 && ["use", "crate"].contains(&self.text(at - 1));
            !is_inner && (self.is_at(at + 1, "::") || is_imported)
        };
        self.find(name).into_iter().filter(of_crate).collect()
    }

    /// Every path that starts with `root`, groups spelled out: `crate::{a::b, c}` is `[a, b]` and `[c]`.
    pub fn paths(&self, root: &str) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let starts = |at: &usize| self.is_at(at + 1, "::") && (*at < 2 || !self.is_at(at - 2, "::"));
        for at in self.find(root).into_iter().filter(starts) {
            self.spell_out(at + 3, &mut Vec::new(), &mut |path, _| paths.push((at, path.to_vec())));
        }
        paths
    }

    /// Walks the use tree that begins at this place and gives each path in it, with its other name if it has one; returns
    /// the place behind the tree.
    pub fn spell_out(
        &self,
        mut at: usize,
        path: &mut Vec<String>,
        found: &mut impl FnMut(&[String], Option<&str>),
    ) -> usize {
        if self.text(at) == "{" {
            at += 1;
            while !["}", ""].contains(&self.text(at)) {
                at = self.spell_out(at, path, found);
                at += usize::from(self.text(at) == ",");
            }
            return at + 1;
        }
        path.push(self.text(at).to_owned());
        at += 1;
        if self.is_at(at, "::") {
            at = self.spell_out(at + 2, path, found);
        } else {
            let is_renamed = self.text(at) == "as";
            found(path, is_renamed.then(|| self.text(at + 1)));
            at += if is_renamed { 2 } else { 0 };
        }
        path.pop();
        at
    }

    /// The functions that have a body, inner ones too.
    pub fn functions(&self) -> Vec<Function> {
        let named = self.find("fn").into_iter().filter(|at| self.text(at + 1).starts_with(is_word));
        let ended = named.map(|at| (at, self.end_of_item(at))).filter(|(_, end)| self.text(end - 1) == "}");
        let function = |(at, end): (usize, usize)| {
            let line = self.line_of(at);
            Function { name: self.text(at + 1).to_owned(), line, lines: self.line_of(end - 1) + 1 - line }
        };
        ended.map(function).collect()
    }

    /// Where the group ends that begins at this place.
    pub fn end_of_group(&self, at: usize) -> usize {
        let mut depth = 0;
        let ends = |at: &usize| {
            depth += match self.text(*at) {
                "(" | "[" | "{" => 1,
                ")" | "]" | "}" => -1,
                _ => 0,
            };
            depth == 0
        };
        (at..self.len()).find(ends).unwrap_or(self.len())
    }

    /// The place behind the item that begins at this one: behind its body, or its `;`.
    pub fn end_of_item(&self, at: usize) -> usize {
        let words = (at..).map(|at| self.text(at)).take_while(|text| !["{", ";", "=", ""].contains(text));
        let words: Vec<&str> = words.collect();
        let has_body = !words.contains(&"use") && (words.contains(&"fn") || !words.contains(&"const"));
        let mut depth = 0_usize;
        for at in at..self.len() {
            match self.text(at) {
                ";" if depth == 0 => return at + 1,
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && has_body && self.text(at) == "}" {
                return at + 1;
            }
        }
        self.len()
    }
}

/// Whether a name or a number has this character.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                };
                tokens.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Literal(_) => tokens.push(Token { text: "\"\"".to_owned(), line }),
            word => tokens.push(Token { text: word.to_string(), line }),
        }
    }
}
