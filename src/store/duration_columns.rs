//! The columns of flushes and minutes that count how long events took, a class each.

use entity::flush_minute::Column;
use sea_orm::{DbErr, IdenStatic, QueryResult};

use crate::domain::histogram::{CLASSES, DurationHistogram};

/// The columns in the order of their classes; both tables name them alike.
pub(super) const TIMES: [Column; CLASSES] = [
    Column::Took6,
    Column::Took7,
    Column::Took8,
    Column::Took9,
    Column::Took10,
    Column::Took11,
    Column::Took12,
    Column::Took13,
    Column::Took14,
    Column::Took15,
    Column::Took16,
    Column::Took17,
    Column::Took18,
    Column::Took19,
    Column::Took20,
    Column::Took21,
    Column::Took22,
    Column::Took23,
    Column::Took24,
    Column::Took25,
    Column::Took26,
    Column::Took27,
    Column::Took28,
    Column::Took29,
];

/// Their names.
pub(super) fn names() -> [&'static str; CLASSES] {
    TIMES.map(|column| column.as_str())
}

/// The classes that are not empty, as the columns have them.
pub(super) fn stored(times: &DurationHistogram) -> [Option<i32>; CLASSES] {
    times.counts().map(|count| (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX)))
}

/// Sums of the columns, from the column `first` of an answer on.
pub(super) fn sums(row: &QueryResult, first: usize) -> Result<DurationHistogram, DbErr> {
    let mut times = DurationHistogram::default();
    for class in 0..CLASSES {
        times.add(class, row.try_get_by_index(first + class)?);
    }
    Ok(times)
}
