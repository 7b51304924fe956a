//! Users and tokens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill::domain::scopes::{Scope, Scopes};
use gristmill::store::{NewToken, Store, StoreErrorKind, StoreOptions, User, hash_token};

use super::{WAIT, by, migrated};

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).expect("a time")
}

async fn user(store: &Store, email: &str) -> User {
    let made = store.create_user(email, noon(), &by(), WAIT).await;
    made.expect("the store answers").expect("the email is free")
}

fn token_of(user: &User) -> NewToken {
    NewToken {
        user_id: user.id,
        name: "laptop".to_owned(),
        scopes: [Scope::Write, Scope::Read].into_iter().collect(),
        expires_at: None,
    }
}

/// An email is one user's.
pub async fn contract_users_are_made_once_and_disabled(options: StoreOptions) {
    let store = migrated(&options).await;
    let ann = user(&store, "ann@x.org").await;
    let bob = user(&store, "bob@x.org").await;
    let again = store.create_user("ann@x.org", noon(), &by(), WAIT).await;
    assert_eq!(again.expect("the store answers"), None);
    let disabled = User { disabled: true, ..bob };
    let changed = store.set_user_disabled(disabled.id, true, &by(), WAIT).await;
    assert_eq!(changed.expect("an answer"), Some(disabled.clone()));
    assert_eq!(store.set_user_disabled(999, true, &by(), WAIT).await.expect("an answer"), None);
    let all = store.list_users(WAIT).await.expect("the users");
    assert_eq!(all, [ann.clone(), disabled.clone()]);
    assert_eq!(store.users_after(0, 1, WAIT).await.expect("a page"), all[..1]);
    assert_eq!(store.users_after(ann.id, 9, WAIT).await.expect("a page"), all[1..]);
    let some = store.users_by_ids(&[disabled.id, 999], WAIT).await.expect("the users");
    assert_eq!(some, [disabled]);
    let found = store.user_by_email("ann@x.org", WAIT).await.expect("an answer");
    assert_eq!(found, Some(ann));
}

/// Only the hash is kept, and the record tells all that a request needs.
pub async fn contract_tokens_live_from_creation_to_revocation(options: StoreOptions) {
    let store = migrated(&options).await;
    let ann = user(&store, "ann@x.org").await;
    let made = store.create_token(token_of(&ann), noon(), &by(), WAIT).await;
    let (token, secret) = made.expect("a token");
    assert!(secret.expose().starts_with(&token.prefix) && token.prefix.len() == 11);
    let hash = hash_token(secret.expose());
    let found = store.find_tokens(vec![hash], WAIT).await.expect("an answer").pop().expect("the token");
    assert_eq!(found.hash, hash);
    assert_eq!((found.token_id, found.user_id), (token.id, ann.id));
    assert_eq!((found.email.as_str(), found.user_disabled), ("ann@x.org", false));
    assert_eq!(found.scopes, "read,write".parse::<Scopes>().expect("scopes"));
    assert_eq!(store.find_tokens(vec![hash_token("gm_x")], WAIT).await.expect("an answer"), []);

    let later = noon() + Duration::from_secs(60);
    for at in [later, noon()] {
        store.record_token_uses(&[(token.id, at)], WAIT).await.expect("noted");
    }
    assert!(store.revoke_token(token.id, later, &by(), WAIT).await.expect("an answer"));
    assert!(!store.revoke_token(token.id, later, &by(), WAIT).await.expect("an answer"));
    let listed = store.list_tokens(Some(ann.id), WAIT).await.expect("the tokens");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].revoked_at, listed[0].last_used_at), (Some(later), Some(later)));
    assert_eq!(store.list_tokens(Some(0), WAIT).await.expect("the tokens"), []);
    let (second, _) = store.create_token(token_of(&ann), noon(), &by(), WAIT).await.expect("a token");
    let page = async |user, after, limit| {
        let tokens = store.tokens_after(user, after, limit, WAIT).await.expect("a page");
        tokens.iter().map(|token| token.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 0, 1).await, [token.id]);
    assert_eq!(page(Some(ann.id), token.id, 9).await, [second.id]);
    assert_eq!(page(Some(999), 0, 9).await, [0; 0]);
    assert_eq!(store.token_by_id(second.id, WAIT).await.expect("an answer"), Some(second));
    assert_eq!(store.token_by_id(999, WAIT).await.expect("an answer"), None);

    let nobody = NewToken { user_id: 999, ..token_of(&ann) };
    let error = store.create_token(nobody, noon(), &by(), WAIT).await.expect_err("no such user");
    assert_eq!(error.kind, StoreErrorKind::Refused);
}

/// The old token ends after the overlap at the latest, and an ended one makes no new one.
pub async fn contract_rotation_overlaps_and_happens_once(options: StoreOptions) {
    let store = migrated(&options).await;
    let ann = user(&store, "ann@x.org").await;
    let expires_at = Some(noon() + Duration::from_secs(7200));
    let new = NewToken { expires_at, ..token_of(&ann) };
    let (old, _) = store.create_token(new, noon(), &by(), WAIT).await.expect("a token");
    let hour = Duration::from_secs(3600);
    let rotated = store.rotate_token(old.id, hour, noon(), &by(), WAIT).await.expect("an answer");
    let (fresh, secret) = rotated.expect("the token is live");
    assert_eq!((fresh.scopes, fresh.expires_at), (old.scopes, expires_at));
    let hash = hash_token(secret.expose());
    assert!(!store.find_tokens(vec![hash], WAIT).await.expect("an answer").is_empty());
    let listed = store.list_tokens(None, WAIT).await.expect("the tokens");
    assert_eq!(listed[0].expires_at, Some(noon() + hour));
    let after = noon() + hour;
    let again = store.rotate_token(old.id, hour, after, &by(), WAIT).await.expect("an answer");
    assert!(again.is_none());
    let rotated = store.rotate_token(fresh.id, Duration::ZERO, noon(), &by(), WAIT).await.expect("an answer");
    let (last, _) = rotated.expect("the token is live");
    let ended = store.token_by_id(fresh.id, WAIT).await.expect("an answer").expect("the token");
    assert_eq!((ended.revoked_at, ended.state(noon())), (Some(noon()), "revoked"));
    store
        .rotate_token(last.id, Duration::MAX, noon(), &by(), WAIT)
        .await
        .expect("an answer")
        .expect("the token is live");
    let kept = store.token_by_id(last.id, WAIT).await.expect("an answer").expect("the token");
    assert_eq!(kept.expires_at, expires_at, "an endless overlap leaves the end as it was");
    assert!(store.rotate_token(999, hour, noon(), &by(), WAIT).await.expect("an answer").is_none());
}

/// Servers that poll the version miss nothing.
pub async fn contract_each_change_of_tokens_and_users_moves_the_version(options: StoreOptions) {
    let store = migrated(&options).await;
    let mut versions = vec![store.auth_version(WAIT).await.expect("a version")];
    let ann = user(&store, "ann@x.org").await;
    versions.push(store.auth_version(WAIT).await.expect("a version"));
    let (token, _) = store.create_token(token_of(&ann), noon(), &by(), WAIT).await.expect("a token");
    versions.push(store.auth_version(WAIT).await.expect("a version"));
    let hour = Duration::from_secs(3600);
    store.rotate_token(token.id, hour, noon(), &by(), WAIT).await.expect("an answer");
    versions.push(store.auth_version(WAIT).await.expect("a version"));
    store.revoke_token(token.id, noon(), &by(), WAIT).await.expect("an answer");
    versions.push(store.auth_version(WAIT).await.expect("a version"));
    store.set_user_disabled(ann.id, true, &by(), WAIT).await.expect("an answer");
    versions.push(store.auth_version(WAIT).await.expect("a version"));
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}
