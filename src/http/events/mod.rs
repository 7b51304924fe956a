//! `/api/v1/events`: post one, a batch, or lines; get one with its timeline, list, export, stream; replay.

mod answers;
mod asked;
mod batch;
mod bulk;
mod by_filter;
mod cloud;
pub(super) mod cursor;
mod export;
mod intake;
mod lines;
mod list;
mod operate;
mod prefer;
mod read;
mod report;
mod spooled;
mod stream;
mod submit;
mod timeline;
mod validate;
mod view;
mod wait;
mod wish;

pub use batch::submit_batch;
pub use by_filter::{cancel_matching, retry_matching};
pub use export::export;
pub use list::list;
pub use operate::{cancel, process, retry};
pub use prefer::WAIT_SECONDS_MAX;
pub use read::show;
pub use stream::{Streams, stream};
pub use submit::submit;
pub use timeline::timeline;
pub use validate::validate;
