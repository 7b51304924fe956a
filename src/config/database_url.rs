//! The database's address: which kinds there are, how it is made from the data folder, how its password is hidden.

use std::path::Path;

use super::postgres_url;

/// What a database address may look like, for reports.
pub(super) const ALLOWED: &str = "sqlite://PATH to a file, or postgres://USER:PASSWORD@HOST:PORT/NAME";

/// The kinds of database that the service runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// One file, one node.
    Sqlite,
    /// A server, one or many nodes.
    Postgres,
}

/// The kind that an address names, or `None` when the service cannot use it.
pub(super) fn kind(url: &str) -> Option<DatabaseKind> {
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) && !url.starts_with("sqlite:") {
        return None;
    }
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        return is_file(path).then_some(DatabaseKind::Sqlite);
    }
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    (!rest.is_empty()).then_some(DatabaseKind::Postgres)
}

/// A database in memory is refused: "accepted" means durable, and every connection would see another one.
fn is_file(path_and_query: &str) -> bool {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let memory =
        path.is_empty() || path.eq_ignore_ascii_case(":memory:") || query.split('&').any(|pair| pair == "mode=memory");
    !memory && !path.chars().any(char::is_control)
}

/// The address of the SQLite file in the data folder.
pub(super) fn in_folder(data_dir: &Path) -> String {
    let path = data_dir.join("gristmill.db");
    // A percent-encoder would encode every character beyond ASCII too, and the address is shown.
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}")
}

/// Replaces passwords in an address (or in what was meant as one) by `***`; rather too much than too little.
pub(super) fn mask(text: &str) -> String {
    mask_parameters(&mask_user_info(text))
}

/// The last `@` ends the user's part: a password with an unescaped `/` or `@` in it is hidden too. An `@` after a `?`
/// may stand in a password of either part, so then all of it is hidden.
fn mask_user_info(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let Some(end) = text.rfind('@').filter(|end| *end > start) else {
        return text.to_owned();
    };
    if text[start..end].contains('?') {
        return format!("{}***", &text[..start]);
    }
    match text[start..end].find(':') {
        Some(colon) => format!("{}***{}", &text[..=start + colon], &text[end..]),
        None => text.to_owned(),
    }
}

/// Parameters of secret names (`password=`, `sslpassword=`), and those of names that are not known here.
fn mask_parameters(text: &str) -> String {
    if !text.contains("://") {
        let at = text.to_ascii_lowercase().find("password");
        return at.map_or_else(|| text.to_owned(), |at| format!("{}***", &text[..at]));
    }
    let Some((address, query)) = text.split_once('?') else {
        return text.to_owned();
    };
    let masked: Vec<String> = query.split('&').map(mask_parameter).collect();
    format!("{address}?{}", masked.join("&"))
}

fn mask_parameter(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => pair.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("password") || !(postgres_url::is_known(&name) || SQLITE.contains(&name.as_str()))
}

/// Parameters of SQLite's addresses.
const SQLITE: [&str; 4] = ["mode", "cache", "immutable", "vfs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_postgresql_servers_are_databases() {
        for url in ["sqlite://data/gristmill.db", "sqlite:///var/lib/a b/g.db?mode=rwc", "sqlite:g.db"] {
            assert_eq!(kind(url), Some(DatabaseKind::Sqlite), "{url}");
        }
        for url in [
            "postgres://localhost/g",
            "postgresql://u:p@[::1]:5432/g",
            "postgres:///g?host=/run/postgresql",
            "postgres://u:p@h:5432/g?sslmode=require",
        ] {
            assert_eq!(kind(url), Some(DatabaseKind::Postgres), "{url}");
        }
        for url in [
            "",
            "gristmill.db",
            "mysql://localhost/g",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://g.db?mode=memory",
            "postgres://",
            "postgres://h/g\n",
            "host=h password=p",
        ] {
            assert_eq!(kind(url), None, "{url:?}");
        }
    }

    #[test]
    fn no_spelling_of_a_password_survives_masking() {
        for text in [
            "postgres://user:s3cret@host/db",
            "postgres://user:s3cret@s3cret@host/db",
            "postgres://user:s3/cret?s3cret#s3cret@host/db",
            "postgres:user:s3cret@host/db",
            "user:s3cret@host",
            "postgres://host/db?user=u&password=s3cret&sslmode=require",
            "postgres://host:5432/db?password=s3cret@s3cret",
            "postgres://user:s3cret?password=s3cret@host",
            "postgres://host/db?PassWord=s3cret",
            "postgres://host/db?p%61ssword=s3cret",
            "postgres://h1:1,h2:2/db?sslmode=require&pwd=s3cret",
            "host=h user=u password='s3cret s3cret'",
            "postgres://user:s3cret@host/db?sslpassword=s3cret",
        ] {
            let masked = mask(text);
            assert!(!masked.contains("s3cret"), "{text} -> {masked}");
            assert!(masked.contains("***"), "{text} -> {masked}");
        }
    }

    #[test]
    fn an_address_without_a_password_stays_readable() {
        for text in [
            "sqlite://data/gristmill.db",
            "postgres://user@host:5432/db?sslmode=require",
            "127.0.0.1:8000",
            "info,gristmill=debug",
        ] {
            assert_eq!(mask(text), text);
        }
        assert_eq!(mask("postgres://u:p@h:5432/db?sslmode=require"), "postgres://u:***@h:5432/db?sslmode=require");
    }

    #[test]
    fn the_file_in_the_data_folder_has_its_special_characters_escaped() {
        assert_eq!(in_folder(Path::new("data")), "sqlite://data/gristmill.db");
        assert_eq!(in_folder(Path::new("/a/50%?#")), "sqlite:///a/50%25%3F%23/gristmill.db");
        assert_eq!(in_folder(Path::new("/home/jörg/%3F")), "sqlite:///home/jörg/%253F/gristmill.db");
    }
}
