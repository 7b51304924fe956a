//! Looks up tokens that are not remembered: one query at a time, for all requests that wait meanwhile.
//!
//! So a client that sends unknown tokens, however many, takes one of the database's connections at most: the others are
//! those of the flushes.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::bounds::STORE_WAIT;
use super::credentials::TokenHash;
use crate::store::{Store, StoreError, TokenRecord};

type LookupResult = Result<Option<TokenRecord>, StoreError>;

/// The lookups that wait, and whose turn it is to run them.
pub(super) struct Lookups {
    store: Store,
    questions: Mutex<Vec<Question>>,
    turn: tokio::sync::Mutex<()>,
}

struct Question {
    hash: TokenHash,
    sender: oneshot::Sender<LookupResult>,
}

impl Lookups {
    /// With nothing to look up yet.
    pub fn new(store: Store) -> Self {
        Self { store, questions: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The token with this hash, if there is one.
    pub async fn find(&self, hash: TokenHash) -> LookupResult {
        let mut receiver = self.enqueue(hash);
        loop {
            let _turn = self.turn.lock().await;
            match receiver.try_recv() {
                Ok(found) => return found,
                // The request that ran the query was dropped in the middle.
                Err(TryRecvError::Closed) => receiver = self.enqueue(hash),
                Err(TryRecvError::Empty) => {}
            }
            self.answer_all().await;
            if let Ok(found) = receiver.try_recv() {
                return found;
            }
        }
    }

    fn enqueue(&self, hash: TokenHash) -> oneshot::Receiver<LookupResult> {
        let (sender, receiver) = oneshot::channel();
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(Question { hash, sender });
        receiver
    }

    async fn answer_all(&self) {
        let questions = mem::take(&mut *self.questions.lock().unwrap_or_else(PoisonError::into_inner));
        let hashes = questions.iter().map(|question| question.hash).collect();
        let found = self.store.find_tokens(hashes, STORE_WAIT).await;
        let found = found.map(|records| records.into_iter().map(|record| (record.hash, record)).collect());
        for Question { hash, sender } in questions {
            let answer = found.as_ref().map(|records: &HashMap<_, _>| records.get(&hash).cloned());
            // A caller that has left needs no answer.
            let _ = sender.send(answer.map_err(Clone::clone));
        }
    }
}
