//! `/api/v1/events`: post one, get one with its timeline, list.

mod answers;
pub(super) mod cursor;
mod prefer;
mod read;
mod spooled;
mod submit;
mod timeline;
mod view;
mod wait;

pub use prefer::WAIT_SECONDS_MAX;
pub use read::{list, show};
pub use submit::submit;
pub use timeline::timeline;
