//! Dedupe keys: which submissions are the same event.

use sha2::{Digest, Sha256};

use super::cloud_event::Content;
use super::submission::Submission;
use super::timestamp;

/// The source of a key; keys of different namespaces never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// The event's own `event_uid`.
    EventUid,
    /// The request's `Idempotency-Key` header.
    IdempotencyKey,
    /// The content of a refused event, with its own key if it has one.
    Refusal,
}

impl Namespace {
    /// The namespace's number in the database.
    pub fn code(self) -> i16 {
        match self {
            Self::EventUid => 0,
            Self::IdempotencyKey => 1,
            Self::Refusal => 2,
        }
    }

    /// The namespace of a number.
    pub fn of_code(code: i16) -> Option<Self> {
        [Self::EventUid, Self::IdempotencyKey, Self::Refusal].into_iter().find(|namespace| namespace.code() == code)
    }
}

/// A key under which an event may exist once per user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupeKey {
    /// The user that the key belongs to.
    pub user_id: i64,
    /// Where the key came from.
    pub namespace: Namespace,
    /// The key itself, 1 to 255 characters.
    pub text: String,
    /// SHA-256 of the event's content: the same key with other content is a conflict, not a duplicate.
    pub content_hash: [u8; 32],
}

impl DedupeKey {
    /// The key of `submission`: its own `event_uid`, else `idempotency_key`, else none.
    pub fn of(submission: &Submission, user_id: i64, idempotency_key: Option<&str>) -> Option<Self> {
        let (namespace, text) = match (&submission.event_uid, idempotency_key) {
            (Some(uid), _) => (Namespace::EventUid, uid.as_str()),
            (None, Some(key)) => (Namespace::IdempotencyKey, key),
            (None, None) => return None,
        };
        let content_hash = content_hash(submission, user_id);
        Some(Self { user_id, namespace, text: text.to_owned(), content_hash })
    }

    /// The key under which a refused event is kept once, also if it has none of its own: its content and that key.
    pub fn of_refusal(submission: &Submission, user_id: i64, own: Option<&Self>) -> Self {
        let mut hash = Sha256::new_with_prefix(content_hash(submission, user_id));
        hash.update(submission.unread.unwrap_or_default());
        if let Some(own) = own {
            hash.update(own.namespace.code().to_be_bytes());
            hash.update(&own.text);
        }
        let content_hash: [u8; 32] = hash.finalize().into();
        Self { user_id, namespace: Namespace::Refusal, text: hex::encode(content_hash), content_hash }
    }

    /// What makes the key unique, without the content.
    pub fn identity(&self) -> (i64, Namespace, &str) {
        (self.user_id, self.namespace, &self.text)
    }
}

/// Covers user, name, type, timestamp and the payload's bytes as received, each with its length; of a CloudEvent what
/// makes it this one.
fn content_hash(submission: &Submission, user_id: i64) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| match bytes {
        None => hash.update([0]),
        Some(bytes) => {
            hash.update([1]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
    };
    part(Some(user_id.to_string().as_bytes()));
    part(submission.event_name.as_deref().map(str::as_bytes));
    part(submission.event_type.as_deref().map(str::as_bytes));
    match Content::of(submission) {
        Some(content) => content.parts(|bytes| part(Some(bytes))),
        None => {
            part(submission.timestamp.map(timestamp::render).as_deref().map(str::as_bytes));
            part(submission.payload.as_ref().map(|payload| payload.as_str().as_bytes()));
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(text: &'static str, idempotency_key: Option<&str>) -> Option<DedupeKey> {
        let submission = Submission::read(&Bytes::from_static(text.as_bytes())).expect("a readable event");
        DedupeKey::of(&submission, 1, idempotency_key)
    }

    #[test]
    fn the_events_own_uid_wins_over_the_header() {
        let own = key(r#"{"event_uid":"a"}"#, Some("b")).expect("a key");
        assert_eq!((own.namespace, own.text.as_str()), (Namespace::EventUid, "a"));
        let header = key("{}", Some("b")).expect("a key");
        assert_eq!((header.namespace, header.text.as_str()), (Namespace::IdempotencyKey, "b"));
        assert_eq!(key("{}", None), None);
    }

    #[test]
    fn a_refusal_is_known_by_what_was_sent_and_by_its_key() {
        let refusal = |text: &'static str, user_id, key| {
            let submission = Submission::read(&Bytes::from_static(text.as_bytes())).expect("a readable event");
            let own = DedupeKey::of(&submission, user_id, key);
            DedupeKey::of_refusal(&submission, user_id, own.as_ref())
        };
        let base = refusal(r#"{"event_name":"a"}"#, 1, None);
        assert_eq!(base, refusal(r#"{ "event_name": "a", "sent_at": 1 }"#, 1, None), "what is not kept does not count");
        let all = [
            base,
            refusal(r#"{"event_name":"a"}"#, 2, None),
            refusal(r#"{"event_name":"a"}"#, 1, Some("k")),
            refusal(r#"{"event_name":"a","event_uid":"k"}"#, 1, None),
            refusal(r#"{"event_name":"a","payload":{}}"#, 1, None),
            refusal(r#"{"event_name":"a","timestamp":"now"}"#, 1, None),
            refusal(r#"{"event_name":"a","timestamp":"then"}"#, 1, None),
            refusal(r#"{"event_name":"a","user_id":"now"}"#, 1, None),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn the_hash_covers_the_content_and_not_the_key() {
        let hash = |text| key(text, Some("k")).expect("a key").content_hash;
        let base = hash(r#"{"event_name":"a","event_type":"b","payload":{"c":1}}"#);
        assert_eq!(base, hash(r#"{"payload":{"c":1},"event_type":"b","event_name":"a","event_uid":"u"}"#));
        for other in [
            r#"{"event_name":"x","event_type":"b","payload":{"c":1}}"#,
            r#"{"event_name":"a","event_type":"x","payload":{"c":1}}"#,
            r#"{"event_name":"ab","event_type":"","payload":{"c":1}}"#,
            r#"{"event_name":"a","event_type":"b","payload":{"c": 1}}"#,
            r#"{"event_name":"a","event_type":"b"}"#,
            r#"{"event_name":"a","event_type":"b","payload":{"c":1},"timestamp":"2025-12-18T10:30:00Z"}"#,
        ] {
            assert_ne!(base, hash(other), "{other}");
        }
    }
}
