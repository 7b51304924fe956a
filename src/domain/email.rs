//! What can be a user's email.

/// Longest email: what a mail server has to accept (RFC 5321).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Whether the text could be an email: lists and log lines show it, so nothing hidden may be in it.
pub fn is_email(text: &str) -> bool {
    let is_fit = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let has_parts = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    is_fit && has_parts && text.len() <= EMAIL_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_has_a_name_and_a_host_and_nothing_hidden() {
        let longest = format!("{}@example.org", "a".repeat(EMAIL_BYTES_MAX - 12));
        for text in ["a@b", "ana.maria+x@example.org", "ä@ö", &longest] {
            assert!(is_email(text), "{text}");
        }
        for text in ["", "a", "@b", "a@", "a b@c", "a@b\n", "a\0@b", "a@b\u{85}", &format!("a{longest}")] {
            assert!(!is_email(text), "{text:?}");
        }
    }
}
