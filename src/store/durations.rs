//! How long events took, as flushes and minutes store it: a text in the column `took`, and a figure per class among the
//! `counts` of event types.
//!
//! To sum up many rows, the database joins their texts to one, and it is read here: a pass over some 20 bytes a row.

use std::sync::LazyLock;

use sea_orm::{DbBackend, DbErr};

use crate::domain::histogram::{CLASSES, DurationHistogram, digits_of};

/// The figures of the classes among `counts`: `took6` to `took29`.
static FIGURES: LazyLock<[String; CLASSES]> =
    LazyLock::new(|| std::array::from_fn(|class| format!("took{}", digits_of(class))));

/// The figure of a class.
pub(super) fn figure_of(class: usize) -> &'static str {
    &FIGURES[class]
}

/// The class of a figure, if it is one of these.
pub(super) fn class_of_figure(figure: &str) -> Option<usize> {
    FIGURES.iter().position(|one| one == figure)
}

/// What the column holds.
pub(super) fn text(times: &DurationHistogram) -> String {
    serde_json::to_string(times).expect("numbers by numbers are JSON")
}

/// The texts of all rows as one, which [`sum`] reads.
pub(super) fn joined_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "COALESCE(string_agg(took, ''), '')",
        _ => "COALESCE(group_concat(took, ''), '')",
    }
}

/// The sum of the histograms whose texts follow one another.
pub(super) fn sum(texts: &str) -> Result<DurationHistogram, DbErr> {
    let mut sum = DurationHistogram::default();
    for times in serde_json::Deserializer::from_str(texts).into_iter() {
        sum.merge(&times.map_err(|error| DbErr::Json(error.to_string()))?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_joined_texts_is_that_of_the_histograms() {
        let mut one = DurationHistogram::default();
        let mut other = DurationHistogram::default();
        [5, 70, 900].iter().for_each(|us| one.count(*us));
        [70, 5_000].iter().for_each(|us| other.count(*us));
        let joined = [text(&one), text(&DurationHistogram::default()), text(&other)].concat();
        assert_eq!(joined, r#"{"6":1,"7":1,"10":1}{}{"7":1,"13":1}"#);
        one.merge(&other);
        assert_eq!(sum(&joined).expect("readable"), one);
        assert_eq!(sum("").expect("nothing"), DurationHistogram::default());
        assert!(sum(r#"{"6":1}{"7":"#).is_err());
    }

    #[test]
    fn each_class_has_a_figure() {
        assert_eq!([figure_of(0), figure_of(CLASSES - 1)], ["took6", "took29"]);
        assert_eq!(class_of_figure("took9"), Some(3));
        assert_eq!(class_of_figure("processed"), None);
    }
}
