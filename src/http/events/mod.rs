//! `/api/v1/events`: post one, a batch, or lines; get one with its timeline, list, export, stream; replay.

mod answers;
mod asked;
mod batch;
mod bulk;
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

pub use answers::{Enqueued, Failed, Other, Success};
pub use batch::submit_batch;
pub use bulk::{Report as LinesReport, Summary as LinesSummary};
pub use export::{CursorLine, SummaryLine, export};
pub use list::{Page as EventPage, list};
pub use operate::{Cancelled, cancel, process, retry};
pub use prefer::WAIT_SECONDS_MAX;
pub use read::show;
pub use report::{ItemResult, Report as BatchReport};
pub use stream::{OutcomeView, Streams, stream};
pub use submit::submit;
pub use timeline::{TimelineView, timeline};
pub use validate::{Valid, validate};
pub use view::EventView;
