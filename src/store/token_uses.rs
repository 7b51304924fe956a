//! When tokens were last used, as far as it is noted.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::api_token;
use sea_orm::sea_query::{Cond, Expr};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::error::StoreError;
use super::open::Store;

impl Store {
    /// Notes when tokens were last used; never turns a time back.
    pub async fn record_token_uses(&self, used: &[(i64, DateTime<Utc>)], wait: Duration) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        let mut used = used.to_vec();
        // In one order for all nodes: they would deadlock on each other otherwise.
        used.sort_unstable();
        self.transaction("note the use of tokens", wait, move |tx| {
            Box::pin(async move {
                for (id, at) in used {
                    record_use(tx, id, at).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

async fn record_use(tx: &DatabaseTransaction, id: i64, at: DateTime<Utc>) -> Result<(), StoreError> {
    let older = Cond::any().add(api_token::Column::LastUsedAt.is_null()).add(api_token::Column::LastUsedAt.lt(at));
    api_token::Entity::update_many()
        .col_expr(api_token::Column::LastUsedAt, Expr::value(at))
        .filter(api_token::Column::Id.eq(id))
        .filter(older)
        .exec(tx)
        .await?;
    Ok(())
}
