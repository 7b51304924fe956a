//! Answers by route: its template as the router has it, never the path that was requested.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::counter::Counter;
use super::exposition::Exposition;
use super::family::{Cell, Metric};
use super::histogram::{Histogram, Scale};

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

struct Method {
    classes: [Counter; CLASSES.len()],
    took: Histogram,
}

/// The counters of this route, made when they are first needed; `None` stands for every unknown path.
pub fn route(template: Option<&'static str>) -> &'static Route {
    let template = template.unwrap_or(UNKNOWN);
    let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = routes.iter().find(|route| route.template == template) {
        return known;
    }
    let method = || Method { classes: Default::default(), took: Histogram::new(Scale::TIMES) };
    let route = Route { template, methods: std::array::from_fn(|_| method()) };
    // It lives as long as the process, like the router.
    let route: &'static Route = Box::leak(Box::new(route));
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
        self.methods[place].classes[class].increment();
        self.methods[place].took.observe_time(took);
    }

    fn methods(&self) -> impl Iterator<Item = (&'static str, &Method)> {
        METHODS.into_iter().zip(&self.methods)
    }
}

/// `gristmill_http_requests_total`. What was never requested is left out.
pub struct Answers;

/// `gristmill_http_request_duration_seconds`, the same.
pub struct Durations;

impl Metric for Answers {
    fn write(&self, page: &mut Exposition) {
        const NAME: &str = "gristmill_http_requests_total";
        page.begin(NAME, Counter::KIND, "Requests answered, by route, method and class of the status.");
        each_method(|route, method, figures| {
            for (class, answers) in CLASSES.iter().zip(&figures.classes).filter(|(_, answers)| answers.read() > 0) {
                answers.write(page, NAME, (&["route", "method", "status"], &[route, method, class]));
            }
        });
    }
}

impl Metric for Durations {
    fn write(&self, page: &mut Exposition) {
        const NAME: &str = "gristmill_http_request_duration_seconds";
        page.begin(NAME, Histogram::KIND, "Time from a request's head to the head of its answer, waits included.");
        each_method(|route, method, figures| {
            if figures.took.count() > 0 {
                figures.took.write(page, NAME, (&["route", "method"], &[route, method]));
            }
        });
    }
}

fn each_method(mut work: impl FnMut(&str, &str, &Method)) {
    let mut routes = ROUTES.read().unwrap_or_else(PoisonError::into_inner).clone();
    routes.sort_by_key(|route| route.template);
    for route in routes {
        route.methods().for_each(|(name, method)| work(route.template, name, method));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_statuses_that_nobody_knows_are_counted_in_bounded_places() {
        let route = route(Some("/test-of-bounds"));
        for method in ["GET", "BREW", "get", "\n"] {
            route.answered(method, 999, Duration::ZERO);
        }
        route.answered("GET", 99, Duration::ZERO);
        let mut page = Exposition::default();
        Answers.write(&mut page);
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
