//! How many events a transaction of the server has, from its metrics.

use std::io::BufRead;

use anyhow::Context;

use super::server::Server;

/// The transactions of events so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Transactions {
    events: f64,
    count: f64,
}

impl Transactions {
    /// `None` where the operations port is not known.
    pub(super) fn of(server: &Server) -> anyhow::Result<Option<Self>> {
        let Some(operations) = &server.operations else { return Ok(None) };
        let lines = operations.read("/metrics", &[], &[])?.lines();
        let lines = lines.collect::<Result<Vec<String>, _>>().context("the metrics broke off")?;
        Ok(Some(Self::read(lines.iter().map(String::as_str))))
    }

    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for line in lines {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value: f64 = value.parse().unwrap_or_default();
            match name.split('{').next() {
                Some("gristmill_flush_events_sum") => read.events += value,
                Some("gristmill_flush_events_count") => read.count += value,
                _ => {}
            }
        }
        read
    }

    /// Events of a transaction on average; `None` if there was none.
    pub(super) fn events_each_since(self, before: Self) -> Option<f64> {
        let count = self.count - before.count;
        (count > 0.0).then(|| (self.events - before.events) / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_of_what_came_in_between() {
        let page = "# TYPE gristmill_flush_events histogram\ngristmill_flush_events_bucket{le=\"1\"} 5\n\
                    gristmill_flush_events_sum 110\ngristmill_flush_events_count 20";
        let read = Transactions::read(page.lines());
        assert_eq!(read, Transactions { events: 110.0, count: 20.0 });
        assert_eq!(read.events_each_since(Transactions { events: 10.0, count: 10.0 }), Some(10.0));
        assert_eq!(read.events_each_since(read), None);
    }
}
