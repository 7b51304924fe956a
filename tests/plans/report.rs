//! What PostgreSQL reports of the plans that it carried out (`auto_explain`).

use serde_json::Value;

use crate::support::postgres::Cluster;

/// Stands before statements of a test, whose plans are its own affair.
pub const OF_THE_TEST: &str = "/* of the test */";

/// A statement that was carried out, and its plan with what each part of it met.
#[derive(Debug)]
pub struct Plan {
    pub statement: String,
    root: Value,
}

/// Has every plan in this database reported, and plans kept as `mode` says.
pub fn begin(cluster: &Cluster, database: &str, mode: &str) {
    let settings = [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_timing = off",
        "auto_explain.log_format = json",
        &format!("plan_cache_mode = {mode}"),
    ];
    let settings: String = settings.iter().map(|each| format!("ALTER DATABASE {database} SET {each}; ")).collect();
    cluster.sql("postgres", &format!("LOAD 'auto_explain'; {settings}"));
}

/// The plans that were reported so far, without those of the test. A report is a line and, indented, its JSON.
pub fn plans(cluster: &Cluster) -> Vec<Plan> {
    let log = cluster.log();
    let reports = log.split(" plan:\n").skip(1);
    let plan = |report: &str| {
        let lines: Vec<&str> = report.lines().take_while(|line| line.starts_with('\t')).collect();
        let report: Value = serde_json::from_str(&lines.join("\n")).expect("a report is JSON");
        let statement = report["Query Text"].as_str().expect("it has its statement").to_owned();
        Plan { statement, root: report["Plan"].clone() }
    };
    reports.map(plan).filter(|plan| !plan.statement.starts_with(OF_THE_TEST)).collect()
}

impl Plan {
    /// Rows that all scans met, also those that they passed by, and those that joins compared in vain.
    pub fn rows(&self) -> f64 {
        let figure = |node: &Value, name: &str| node[name].as_f64().unwrap_or_default();
        let met = |node: &Value| {
            let is_scan = node["Node Type"].as_str().is_some_and(|kind| kind.contains("Scan"));
            let given = if is_scan { figure(node, "Actual Rows") } else { 0.0 };
            let removed = ["Filter", "Index Recheck", "Join Filter"].map(|by| format!("Rows Removed by {by}"));
            let removed: f64 = removed.iter().map(|name| figure(node, name)).sum();
            (given + removed) * figure(node, "Actual Loops")
        };
        self.nodes().into_iter().map(met).sum()
    }

    /// Whether it reads a partition of `events` from one end to the other.
    pub fn reads_all_events(&self) -> bool {
        let reads_all = |node: &Value| {
            node["Node Type"] == "Seq Scan"
                && node["Relation Name"].as_str().is_some_and(|name| name.starts_with("events"))
        };
        self.nodes().into_iter().any(reads_all)
    }

    /// The plan as it was reported.
    pub fn text(&self) -> String {
        format!("{}\n{:#}", self.statement, self.root)
    }

    fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.root];
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            next += 1;
        }
        nodes
    }
}
