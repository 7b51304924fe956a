//! Which index leads to the events of a list.

use sea_orm::DbBackend;

use super::super::filters::Filters;

/// The index that a list walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanPlan {
    Received,
    Bad,
    User,
    Name,
    Id,
}

impl ScanPlan {
    pub fn of(filters: &Filters) -> Self {
        if filters.have_a_range() {
            Self::Received
        } else if filters.are_bad() {
            Self::Bad
        } else if filters.user_id.is_some() {
            Self::User
        } else if filters.event_name.is_some() {
            Self::Name
        } else {
            Self::Id
        }
    }

    /// Whether every row of the scan matches.
    pub fn decides(self, filters: &Filters) -> bool {
        let mut rest = filters.clone();
        match self {
            Self::Received => (rest.received_after, rest.received_before) = (None, None),
            Self::User => rest.user_id = None,
            Self::Name => rest.event_name = None,
            // Its index holds two states.
            Self::Bad | Self::Id => {}
        }
        rest == Filters::default()
    }

    /// SQLite is given the index; PostgreSQL is left only one whose order is the list's.
    pub fn table(self, backend: DbBackend) -> &'static str {
        match self {
            _ if backend == DbBackend::Postgres => "events",
            Self::Received => "events INDEXED BY events_received",
            Self::Bad => "events INDEXED BY events_bad",
            Self::User => "events INDEXED BY events_user",
            Self::Name => "events INDEXED BY events_name",
            Self::Id => "events NOT INDEXED",
        }
    }

    /// The column before the id in the index's order.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Received => Some("received_at"),
            Self::User => Some("user_id"),
            Self::Name => Some("event_name"),
            Self::Bad | Self::Id => None,
        }
    }
}
