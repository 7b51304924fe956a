//! `/api/v1/events`: post one, a batch, or lines; get one with its timeline, list, export, stream; replay.

mod batch;
mod bulk;
mod filters;
mod headers;
mod intake;
mod lines;
mod list;
mod list_params;
mod operate;
mod read;
mod report;
mod stream;
mod submission;
mod submit;
mod validate;
mod view;

pub use batch::submit_batch;
pub use bulk::{LinesReport, LinesSummary};
pub use filters::NewestParams;
pub use headers::WAIT_SECONDS_MAX;
pub use list::{CursorLine, EventPage, SummaryLine, UnreadableLine, export, list};
pub use operate::{Cancelled, DryRun, cancel, cancel_matching, process, retry, retry_matching};
pub use read::{check_visible, show, timeline};
pub use report::{BatchReport, ItemResult};
pub use stream::{OutcomeView, stream};
pub use submit::{Enqueued, Failed, Other, Success, submit};
pub use validate::{Valid, validate};
pub use view::{EventView, TimelineView};
