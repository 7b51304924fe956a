//! What a token may do.

use std::fmt;
use std::str::FromStr;

/// One right that a token can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Post events.
    Write = 1,
    /// Read one's own events.
    Read = 1 << 1,
    /// Read everyone's events.
    ReadAll = 1 << 2,
    /// Post events for another user.
    WriteAll = 1 << 3,
    /// Replay and cancel events, change the pipeline.
    Operate = 1 << 4,
    /// Manage users and tokens.
    Admin = 1 << 5,
}

/// Every scope with its name, in the order in which they are shown.
const NAMES: [(Scope, &str); 6] = [
    (Scope::Write, "write"),
    (Scope::Read, "read"),
    (Scope::ReadAll, "read:all"),
    (Scope::WriteAll, "write:all"),
    (Scope::Operate, "operate"),
    (Scope::Admin, "admin"),
];

/// A set of scopes. Its text is the names separated by one space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

/// A text that is not a set of scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// A name that is not a scope.
    #[error("unknown scope {0:?}, allowed: write, read, read:all, write:all, operate, admin")]
    Unknown(String),
    /// No name at all.
    #[error("no scope given, allowed: write, read, read:all, write:all, operate, admin")]
    Empty,
}

impl Scopes {
    /// Every scope there is.
    pub fn all() -> Self {
        NAMES.iter().map(|(scope, _)| *scope).collect()
    }

    /// The scopes of the set, in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        NAMES.into_iter().map(|(scope, _)| scope).filter(move |scope| self.has(*scope))
    }

    /// Whether the set holds `scope`. None implies another.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }
}

impl Scope {
    /// The name as it appears in tokens, requests and answers.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Scope {
    type Err = ScopesError;

    fn from_str(name: &str) -> Result<Self, ScopesError> {
        let known = NAMES.iter().find(|(_, known)| *known == name);
        known.map(|(scope, _)| *scope).ok_or_else(|| ScopesError::Unknown(name.to_owned()))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope as u8))
    }
}

impl FromStr for Scopes {
    type Err = ScopesError;

    /// Names separated by commas or white space.
    fn from_str(text: &str) -> Result<Self, ScopesError> {
        let scopes = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect::<Result<Self, _>>()?;
        if scopes == Self::default() {
            return Err(ScopesError::Empty);
        }
        Ok(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}", scope.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_spaces_separate_names_and_the_text_reads_back() {
        let scopes: Scopes = "read, write\tread:all".parse().expect("known names");
        assert_eq!(scopes.to_string(), "write read read:all");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert!(scopes.has(Scope::ReadAll));
        assert!(!scopes.has(Scope::WriteAll));
    }

    #[test]
    fn an_error_names_the_word_and_lists_every_scope() {
        let error = "write,reed".parse::<Scopes>().expect_err("not a scope");
        let text = error.to_string();
        assert!(text.contains("\"reed\""), "{text}");
        for (_, name) in NAMES {
            assert!(text.contains(name), "{name} in {text}");
            assert!(ScopesError::Empty.to_string().contains(name), "{name}");
        }
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(" , ".parse::<Scopes>(), Err(ScopesError::Empty));
    }

    #[test]
    fn all_holds_each_scope_by_its_name() {
        for (scope, name) in NAMES {
            assert!(Scopes::all().has(scope));
            assert_eq!(scope.name(), name);
        }
    }
}
