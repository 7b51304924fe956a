//! `/api/v1/events`: post one, a batch, or lines; get one with its timeline, list.

mod answers;
mod batch;
mod bulk;
mod cloud;
pub(super) mod cursor;
mod intake;
mod lines;
mod operate;
mod prefer;
mod read;
mod report;
mod spooled;
mod submit;
mod timeline;
mod validate;
mod view;
mod wait;

pub use batch::submit_batch;
pub use operate::{cancel, process, retry};
pub use prefer::WAIT_SECONDS_MAX;
pub use read::{list, show};
pub use submit::submit;
pub use timeline::timeline;
pub use validate::validate;
