//! `/api/v1/events`: post one, get one with its timeline, list them.

mod answers;
mod asked;
mod cursor;
mod export;
mod list;
mod prefer;
mod read;
mod spooled;
mod stream;
mod submit;
mod timeline;
mod view;
mod wait;

pub use export::export;
pub use list::list;
pub use read::show;
pub use stream::{Streams, stream};
pub use submit::submit;
pub use timeline::timeline;
