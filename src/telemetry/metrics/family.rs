//! Metrics with their names: one figure, or one for each combination of labels that there can be.

use std::ops::Deref;
use std::sync::OnceLock;

use super::exposition::{Exposition, Labels};

/// The value of every label outside of the known combinations.
const OTHER: &str = "other";

/// What holds the figures of one combination of labels.
pub trait Cell: Send + Sync {
    /// The type on the page.
    const KIND: &'static str;

    /// Writes the samples.
    fn write(&self, page: &mut Exposition, name: &str, labels: Labels<'_>);
}

/// A metric that a scrape reads.
pub trait Metric: Sync {
    /// Writes all of it.
    fn write(&self, page: &mut Exposition);
}

/// A metric without labels.
pub struct Single<C> {
    name: &'static str,
    help: &'static str,
    cell: C,
}

impl<C> Single<C> {
    /// Under this name, with a sentence for people.
    pub const fn new(name: &'static str, help: &'static str, cell: C) -> Self {
        Self { name, help, cell }
    }
}

impl<C> Deref for Single<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.cell
    }
}

impl<C: Cell> Metric for Single<C> {
    fn write(&self, page: &mut Exposition) {
        page.begin(self.name, C::KIND, self.help);
        self.cell.write(page, self.name, (&[], &[]));
    }
}

/// A metric whose figures are distinguished by labels. Every combination is there from the first scrape on; any other
/// is counted as `other`.
pub struct Family<C> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    combinations: fn() -> Vec<Vec<&'static str>>,
    make: fn() -> C,
    members: OnceLock<Vec<(Vec<&'static str>, C)>>,
}

impl<C> Family<C> {
    /// Under this name, with labels of these names; `combinations` says all values that they take together.
    pub const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        combinations: fn() -> Vec<Vec<&'static str>>,
        make: fn() -> C,
    ) -> Self {
        Self { name, help, labels, combinations, make, members: OnceLock::new() }
    }

    /// The cell of one combination: to be looked up once where many events come by.
    pub fn of(&self, values: &[&str]) -> &C {
        let members = self.members();
        let member = members.iter().find(|(known, _)| known.as_slice() == values).or(members.last());
        &member.expect("the last one stands for all others").1
    }

    fn members(&self) -> &[(Vec<&'static str>, C)] {
        self.members.get_or_init(|| {
            let other = vec![OTHER; self.labels.len()];
            (self.combinations)().into_iter().chain([other]).map(|values| (values, (self.make)())).collect()
        })
    }
}

impl<C: Cell> Metric for Family<C> {
    fn write(&self, page: &mut Exposition) {
        page.begin(self.name, C::KIND, self.help);
        for (values, cell) in self.members() {
            cell.write(page, self.name, (self.labels, values));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Counter;
    use super::*;

    #[test]
    fn what_no_combination_stands_for_is_counted_as_other() {
        static FRUITS: Family<Counter> =
            Family::new("fruits_total", "Fruits.", &["kind"], || vec![vec!["apple"], vec!["pear"]], Counter::new);
        FRUITS.of(&["pear"]).increment();
        FRUITS.of(&["potato"]).add(2);
        let mut page = Exposition::default();
        FRUITS.write(&mut page);
        assert_eq!(
            page.into_text(),
            "# HELP fruits_total Fruits.\n# TYPE fruits_total counter\nfruits_total{kind=\"apple\"} 0\n\
             fruits_total{kind=\"pear\"} 1\nfruits_total{kind=\"other\"} 2\n"
        );
    }
}
