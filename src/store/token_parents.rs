//! What sessions end with: the tokens that they were opened with.

use std::collections::HashMap;

use entity::api_token;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

/// The tokens that those of `tokens` which are sessions end with.
pub(super) async fn parents(
    connection: &impl ConnectionTrait,
    tokens: &[api_token::Model],
) -> Result<HashMap<i64, api_token::Model>, DbErr> {
    let ids: Vec<i64> = tokens.iter().filter_map(|token| token.parent_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let parents = api_token::Entity::find().filter(api_token::Column::Id.is_in(ids)).all(connection).await?;
    Ok(parents.into_iter().map(|parent| (parent.id, parent)).collect())
}

/// `token` with the end of its parent if that is earlier; None if the parent is gone.
pub(super) fn bounded(
    mut token: api_token::Model,
    parents: &HashMap<i64, api_token::Model>,
) -> Option<api_token::Model> {
    if let Some(id) = token.parent_id {
        let parent = parents.get(&id)?;
        token.expires_at = token.expires_at.into_iter().chain(parent.expires_at).min();
        token.revoked_at = token.revoked_at.or(parent.revoked_at);
    }
    Some(token)
}
