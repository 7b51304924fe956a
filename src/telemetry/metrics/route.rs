//! Answers by route: its template as the router has it, never the path that was requested.

use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::family::{TIMES, counters, histograms};

/// Methods that are distinguished; every other one is `other`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "other"];

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The route of every unknown path.
const UNKNOWN: &str = "unknown";

/// All routes that were ever looked up: as many as the router has.
static ROUTES: RwLock<Vec<&'static Route>> = RwLock::new(Vec::new());

/// Where the answers of one route are counted.
pub struct Route {
    template: &'static str,
    methods: [Method; METHODS.len()],
}

/// Made with the first answer, so that what was never requested is not on the page.
#[derive(Default)]
struct Method {
    classes: [OnceLock<IntCounter>; CLASSES.len()],
    took: OnceLock<Histogram>,
}

/// Answers.
pub static ANSWERS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    const HELP: &str = "Requests answered, by route, method and class of the status.";
    counters("gristmill_http_requests_total", HELP, &["route", "method", "status"])
});

/// How long they took.
pub static DURATIONS: LazyLock<HistogramVec> = LazyLock::new(|| {
    const HELP: &str = "Time from a request's head to the head of its answer, waits included.";
    histograms("gristmill_http_request_duration_seconds", HELP, &["route", "method"], &TIMES)
});

/// The counters of this route, made when they are first needed; `None` stands for every unknown path.
pub fn route(template: Option<&'static str>) -> &'static Route {
    let template = template.unwrap_or(UNKNOWN);
    let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = routes.iter().find(|route| route.template == template) {
        return known;
    }
    // It lives as long as the process, like the router.
    let route: &'static Route = Box::leak(Box::new(Route { template, methods: Default::default() }));
    routes.push(route);
    route
}

impl Route {
    /// Its template.
    pub(in crate::telemetry) fn template(&self) -> &'static str {
        self.template
    }

    /// Counts an answer.
    pub(in crate::telemetry) fn answered(&self, method: &str, status: u16, took: Duration) {
        let place = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let template = self.template;
        let method = METHODS[place];
        let figures = &self.methods[place];
        let count = || ANSWERS.with_label_values(&[template, method, CLASSES[class]]);
        figures.classes[class].get_or_init(count).inc();
        let duration = || DURATIONS.with_label_values(&[template, method]);
        figures.took.get_or_init(duration).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Exposition;
    use super::*;

    #[test]
    fn methods_and_statuses_that_nobody_knows_are_counted_in_bounded_places() {
        let route = route(Some("/test-of-bounds"));
        for method in ["GET", "BREW", "get", "\n"] {
            route.answered(method, 999, Duration::ZERO);
        }
        route.answered("GET", 99, Duration::ZERO);
        let mut page = Exposition::default();
        page.add(&*ANSWERS);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("/test-of-bounds")).collect();
        let line = |method: &str, status: &str, count: u32| {
            format!(
                "gristmill_http_requests_total{{route=\"/test-of-bounds\",method=\"{method}\",status=\"{status}\"}} {count}"
            )
        };
        assert_eq!(lines, [line("GET", "1xx", 1), line("GET", "5xx", 1), line("other", "5xx", 3)]);
    }

    #[test]
    fn a_route_has_one_place() {
        let place = route(Some("/test-of-places"));
        assert!(std::ptr::eq(place, route(Some("/test-of-places"))));
        assert!(!std::ptr::eq(place, route(None)));
    }
}
