//! Trace contexts, as the W3C's Trace Context has them: which trace an event is part of, and below which span.

use std::collections::BTreeSet;

/// Characters of `traceparent` in the version that is known; later ones begin with the same fields.
const PARENT_CHARS: usize = 55;

/// Flags that have a meaning: sampled, and that the trace id is random. Others are not passed on.
const SAMPLED: u8 = 1;
const KNOWN_FLAGS: u8 = 0b11;

/// Most members and characters of `tracestate`; members above the second length are the first to go.
const STATE_MEMBERS_MAX: usize = 32;
const STATE_CHARS_MAX: usize = 512;
const STATE_MEMBER_CHARS: usize = 128;

/// A position in a trace: what `traceparent` and `tracestate` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it that has caused what follows.
    pub span_id: [u8; 8],
    /// The flags that are known.
    pub flags: u8,
    /// The data of tracing systems for each other; may be empty.
    pub state: String,
}

impl TraceContext {
    /// Reads the two texts as headers have them; `None` if the first is not a valid context. An invalid second
    /// one is left out.
    pub fn read(parent: &str, state: &str) -> Option<Self> {
        let (fields, rest) = parent.split_at_checked(PARENT_CHARS)?;
        let fields: Vec<&str> = fields.split('-').collect();
        let [version, trace_id, span_id, flags] = fields[..] else { return None };
        let [version] = bytes_of::<1>(version)?;
        let has_known_end = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        let (trace_id, span_id, [flags]) = (bytes_of(trace_id)?, bytes_of(span_id)?, bytes_of::<1>(flags)?);
        if version == u8::MAX || !has_known_end || trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS, state: read_state(state).unwrap_or_default() })
    }

    /// Reads what [`TraceContext::text`] has written.
    pub fn of_text(text: &str) -> Option<Self> {
        let (parent, state) = text.split_once(' ').unwrap_or((text, ""));
        Self::read(parent, state)
    }

    /// `traceparent`, and after a space `tracestate` unless that is empty: how a context is stored.
    pub fn text(&self) -> String {
        let mut text = format!("00-{}-{}-{:02x}", self.trace_id_text(), hex::encode(self.span_id), self.flags);
        if !self.state.is_empty() {
            text.push(' ');
            text.push_str(&self.state);
        }
        text
    }

    /// The trace's id as text.
    pub fn trace_id_text(&self) -> String {
        hex::encode(self.trace_id)
    }

    /// Whether the sender of the context wants the trace's spans.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace, below the span `span_id`.
    pub fn below(&self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// The root of a trace that is sampled, with an id that is random.
    pub fn root(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self { trace_id, span_id, flags: KNOWN_FLAGS, state: String::new() }
    }
}

/// Only lower-case digits are allowed.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    let has_upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    (!has_upper).then_some(bytes)
}

/// The members of `tracestate`, cut to the length that is passed on; `None` if one of them is wrong.
fn read_state(text: &str) -> Option<String> {
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    let mut members: Vec<&str> = members.collect();
    let keys: BTreeSet<&str> = members.iter().filter_map(|member| key_of(member)).collect();
    if keys.len() != members.len() || members.len() > STATE_MEMBERS_MAX {
        return None;
    }
    let chars = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    if chars(&members) > STATE_CHARS_MAX {
        members.retain(|member| member.len() <= STATE_MEMBER_CHARS);
    }
    while chars(&members) > STATE_CHARS_MAX {
        members.pop();
    }
    Some(members.join(","))
}

/// The key of a valid member.
fn key_of(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let is_lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key = key.bytes().all(|byte| is_lower(&byte) || b"_-*/@".contains(&byte));
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
    let is_begun = key.as_bytes().first().is_some_and(is_lower);
    (is_key && is_begun && is_value && key.len() <= 256 && (1..=256).contains(&value.len())).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn state(text: &str) -> String {
        TraceContext::read(PARENT, text).expect("a context").state
    }

    #[test]
    fn a_context_comes_back_as_it_was_written() {
        for (parent, state) in [(PARENT, ""), (&PARENT.replace("-01", "-00"), "a=1,b@c=x y"), (PARENT, "rojo=00f067")] {
            let context = TraceContext::read(parent, state).expect("a context");
            assert_eq!(context.text(), format!("{parent} {state}").trim_end());
            assert_eq!(TraceContext::of_text(&context.text()), Some(context));
        }
        let context = TraceContext::read(PARENT, "").expect("a context");
        assert_eq!(context.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled() && context.below([7; 8]).text().contains("-0707070707070707-"));
    }

    #[test]
    fn what_the_standard_calls_no_context_is_none() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e47360-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b70-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bä-01",
        ] {
            assert_eq!(TraceContext::read(wrong, ""), None, "{wrong}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [PARENT.replacen("00", "01", 1), PARENT.replacen("00", "cc", 1) + "-what-comes"] {
            assert_eq!(TraceContext::read(&later, "").map(|context| context.text()).as_deref(), Some(PARENT));
        }
        let flags = TraceContext::read(&PARENT.replace("-01", "-ff"), "").expect("a context").flags;
        assert_eq!(flags, KNOWN_FLAGS, "unknown flags are not passed on");
    }

    #[test]
    fn a_wrong_state_is_left_out_and_a_long_one_cut() {
        assert_eq!(state(" a=1 ,, \tb=2"), "a=1,b=2");
        let long = format!("a={}", "x".repeat(257));
        let many = (0..33).map(|member| format!("a{member}=1")).collect::<Vec<_>>().join(",");
        for wrong in ["a", "a=", "=1", "A=1", "@a=1", "a=1=2", "a=1,a=2", "a=ä", long.as_str(), many.as_str()] {
            assert_eq!(state(wrong), "", "{wrong}");
        }
        let members: Vec<String> = ["a", "b", "c", "d"].map(|key| format!("{key}={}", "x".repeat(126))).to_vec();
        let longer = format!("z={}", "x".repeat(127));
        assert_eq!(state(&format!("{longer},{}", members.join(","))), members[..3].join(","));
    }
}
