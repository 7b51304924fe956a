//! The page of a scrape, taken apart.

use std::collections::{BTreeMap, BTreeSet};

/// What is on the page.
#[derive(Debug, Default)]
pub struct Page {
    /// Type and help of each metric.
    pub metrics: BTreeMap<String, (String, String)>,
    /// Every sample: its name with its labels, as they stand there.
    pub samples: BTreeMap<String, f64>,
    /// The page itself.
    pub text: String,
}

impl Page {
    /// Reads a page; panics where it is none.
    pub fn parse(text: &str) -> Self {
        let mut page = Self { text: text.to_owned(), ..Self::default() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help text");
                let is_new = page.metrics.insert(name.to_owned(), (String::new(), help.to_owned())).is_none();
                assert!(is_new, "{name} stands there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                page.metrics.get_mut(name).expect("the help text comes first").0 = kind.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(page.samples.insert(series.to_owned(), value).is_none(), "{series} stands there twice");
            }
        }
        page
    }

    /// The figure of this series; zero if it is not there.
    pub fn figure(&self, series: &str) -> u64 {
        self.samples.get(series).copied().unwrap_or_default() as u64
    }

    /// The sum of all series that begin so.
    pub fn sum(&self, start: &str) -> u64 {
        let of_it = self.samples.iter().filter(|(series, _)| series.starts_with(start));
        of_it.map(|(_, value)| *value as u64).sum()
    }

    /// The names of the labels of this metric, `le` of histograms aside, in their order.
    pub fn labels(&self, name: &str) -> Vec<String> {
        let inside = |series: &String| {
            let (found, rest) = series.split_once('{')?;
            let is_it = [found.strip_suffix("_bucket").unwrap_or(found), found].contains(&name);
            is_it.then(|| rest.trim_end_matches('}').to_owned())
        };
        let labels = self.samples.keys().find_map(inside).unwrap_or_default();
        let names = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned());
        names.filter(|name| name != "le").collect()
    }

    /// All series.
    pub fn series(&self) -> BTreeSet<&str> {
        self.samples.keys().map(String::as_str).collect()
    }
}
