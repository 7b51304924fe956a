//! `GET /api/v1/audit`: who changed what.

use actix_web::HttpResponse;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::access::{Authorised, ReadAudit};
use super::accounts::pages::AuditParams;
use super::bounds::STORE_WAIT;
use super::error::ApiError;
use super::params::Params;
use super::state::AppState;
use crate::domain::timestamp::render;
use crate::store::{Action, AuditEntry, AuditFilters};

const PATH: &str = "/api/v1/audit";

/// A change as it is answered.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "AuditEntry")]
pub struct AuditView {
    id: i64,
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Null for a command on a machine of the service.
    by_user: Option<i64>,
    /// Null for a command on a machine of the service.
    by_token: Option<i64>,
    /// The node that made it.
    node: String,
    #[schemars(extend("examples" = Action::ALL.map(Action::as_str)))]
    action: String,
    /// What was changed, as `tokens/7`.
    object: String,
    #[schemars(with = "Map<String, Value>")]
    detail: Value,
}

/// `GET /api/v1/audit`: the newest first.
pub async fn list(
    state: Data<AppState>,
    authorised: Authorised<ReadAudit, Params<AuditParams>>,
) -> Result<HttpResponse, ApiError> {
    let page = authorised.rest.0.page(PATH)?;
    let filters = AuditFilters { action: page.action, by_user: page.user_id };
    // No row has the id 0: it stands for the beginning of the list.
    let before = if page.after == 0 { i64::MAX } else { page.after };
    let mut rows = state.store.audit_before(filters, before, page.fetched(), STORE_WAIT).await?;
    let next = page.cut(&mut rows, |row| row.id);
    Ok(page.respond(rows.into_iter().map(AuditView::of).collect(), next))
}

impl AuditView {
    fn of(row: AuditEntry) -> Self {
        let AuditEntry { id, at, by, action, object, detail } = row;
        Self { id, at: render(at), by_user: by.user_id, by_token: by.token_id, node: by.node, action, object, detail }
    }
}
