//! JSON pointers (RFC 6901) to a byte of a JSON text, found without recursion.

/// Longest pointer that is reported, in bytes; a client's keys may be a megabyte long.
const POINTER_BYTES_MAX: usize = 256;

/// One level of nesting on the way to the byte in question.
enum Level<'a> {
    Object { key: &'a str, wants_key: bool },
    Array { index: usize },
}

/// The pointer to the value or key at byte `at` of the valid JSON `text`, below `prefix`.
pub(super) fn pointer_at(prefix: &str, text: &str, at: usize) -> String {
    render(prefix, &levels_to(text, at))
}

fn levels_to(text: &str, at: usize) -> Vec<Level<'_>> {
    let bytes = text.as_bytes();
    let mut levels = Vec::new();
    let mut here = 0;
    while here < at {
        match bytes[here] {
            b'{' => levels.push(Level::Object { key: "", wants_key: true }),
            b'[' => levels.push(Level::Array { index: 0 }),
            b'}' | b']' => drop(levels.pop()),
            b',' => next_member(levels.last_mut()),
            b':' => {
                if let Some(Level::Object { wants_key, .. }) = levels.last_mut() {
                    *wants_key = false;
                }
            }
            b'"' => {
                let end = closing_quote(bytes, here);
                if let Some(Level::Object { key, wants_key: true }) = levels.last_mut() {
                    *key = text.get(here + 1..end).unwrap_or_default();
                }
                here = end;
            }
            _ => {}
        }
        here += 1;
    }
    levels
}

fn next_member(level: Option<&mut Level<'_>>) {
    match level {
        Some(Level::Object { wants_key, key }) => (*wants_key, *key) = (true, ""),
        Some(Level::Array { index }) => *index += 1,
        None => {}
    }
}

/// Index of the quote that closes the string that opens at `at`.
pub(super) fn closing_quote(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn render(prefix: &str, levels: &[Level<'_>]) -> String {
    let mut pointer = prefix.to_owned();
    for level in levels {
        let step = match level {
            Level::Object { wants_key: true, .. } => break,
            Level::Object { key, .. } => key.replace('~', "~0").replace('/', "~1"),
            Level::Array { index } => index.to_string(),
        };
        if pointer.len() + step.len() > POINTER_BYTES_MAX {
            pointer.push_str("/…");
            break;
        }
        pointer.push('/');
        pointer.push_str(&step);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_names_every_step_to_the_byte() {
        let text = r#"{"a":[1,{"b/c~":"x,]}\"","d":[true,2]}],"e":3}"#;
        for (needle, pointer) in
            [("1", "/p/a/0"), ("{\"b", "/p/a/1"), ("\"x,", "/p/a/1/b~1c~0"), ("2", "/p/a/1/d/1"), ("3", "/p/e")]
        {
            let at = text.find(needle).expect("the needle is in the text");
            assert_eq!(pointer_at("/p", text, at), pointer, "{needle}");
        }
    }

    #[test]
    fn a_bad_key_is_reported_at_its_object() {
        assert_eq!(pointer_at("/p", r#"{"a":{"b":1,"bad":2}}"#, 12), "/p/a");
    }

    #[test]
    fn a_pointer_is_bounded() {
        let text = format!(r#"{{"{}":1}}"#, "k".repeat(100_000));
        assert_eq!(pointer_at("/p", &text, text.len() - 2), "/p/…");
    }
}
