//! Looks tokens up that are not remembered: one query at a time, for all who ask meanwhile.
//!
//! So whoever sends tokens that are not there, however many, has one of the database's connections at most: the others are
//! those of the flushes.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::bearer::TokenHash;
use super::bounds::STORE_WAIT;
use crate::store::{Store, StoreError, TokenRecord};

type Found = Result<Option<TokenRecord>, StoreError>;

/// The questions that wait, and whose turn it is to ask them.
pub(super) struct Lookups {
    store: Store,
    questions: Mutex<Vec<Question>>,
    turn: tokio::sync::Mutex<()>,
}

struct Question {
    hash: TokenHash,
    tell: oneshot::Sender<Found>,
}

impl Lookups {
    /// Nobody asks yet.
    pub fn new(store: Store) -> Self {
        Self { store, questions: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The token with this hash, if there is one.
    pub async fn find(&self, hash: TokenHash) -> Found {
        let mut told = self.ask(hash);
        loop {
            let _turn = self.turn.lock().await;
            match told.try_recv() {
                Ok(found) => return found,
                // Whoever asked for it has left in the middle.
                Err(TryRecvError::Closed) => told = self.ask(hash),
                Err(TryRecvError::Empty) => {}
            }
            self.answer_all().await;
            if let Ok(found) = told.try_recv() {
                return found;
            }
        }
    }

    fn ask(&self, hash: TokenHash) -> oneshot::Receiver<Found> {
        let (tell, told) = oneshot::channel();
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(Question { hash, tell });
        told
    }

    async fn answer_all(&self) {
        let questions = mem::take(&mut *self.questions.lock().unwrap_or_else(PoisonError::into_inner));
        let hashes = questions.iter().map(|question| question.hash).collect();
        let found = self.store.find_tokens(hashes, STORE_WAIT).await;
        let found = found.map(|records| records.into_iter().map(|record| (record.hash, record)).collect());
        for Question { hash, tell } in questions {
            let answer = found.as_ref().map(|records: &HashMap<_, _>| records.get(&hash).cloned());
            // Who has left needs no answer.
            let _ = tell.send(answer.map_err(Clone::clone));
        }
    }
}
