//! Figures of the server in the text format of Prometheus (0.0.4). Reads no clock and asks nobody: the caller tells what
//! happened as it happens, and how things stand when it is asked.

use crate::error::Kind;
use crate::limits::METRIC_SERIES_MAX;
use crate::map::Map;
use std::fmt::Write;

/// Upper ends of the histogram's buckets, in microseconds, and as they are written, in seconds.
const BUCKETS: [(u64, &str); 15] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A command that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesId(usize);

/// All that is counted.
#[derive(Default)]
pub struct Metrics {
    /// Commands by deployment and name; beyond [`METRIC_SERIES_MAX`] they share one.
    series: Vec<Series>,
    known: Map<(String, String), usize>,
    received_bytes: u64,
    sent_bytes: u64,
    /// By the first digit of their status.
    answers: [u64; 5],
}

struct Series {
    open: u64,
    calls: u64,
    errors: [u64; Kind::COUNT],
    /// Calls by their duration, each in one bucket; the last has no end.
    durations: [u64; BUCKETS.len() + 1],
    micros: u64,
}

/// How a pool stands.
#[derive(Clone, Debug)]
pub struct PoolGauge<'g> {
    /// The deployment.
    pub deployment: &'g str,
    /// The pool.
    pub pool: &'g str,
    /// Calls that wait for a worker.
    pub waiting: u64,
    /// Workers without a call.
    pub idle: u64,
    /// Workers with one.
    pub busy: u64,
    /// How often the pool was started again.
    pub restarts: u64,
}

/// How the server stands.
#[derive(Clone, Debug, Default)]
pub struct Gauges<'g> {
    /// Since its start, in milliseconds.
    pub uptime_ms: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Deployments by the name of their state.
    pub deployments: Vec<(&'g str, u64)>,
    /// The pools of all deployments.
    pub pools: Vec<PoolGauge<'g>>,
}

impl Metrics {
    /// Nothing counted.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// The series of a command; asked once, when it is loaded. `deployment` is its whole name.
    pub fn series(&mut self, deployment: &str, command: &str) -> SeriesId {
        let mut key = (deployment.to_string(), command.to_string());
        if self.known.len() >= METRIC_SERIES_MAX && !self.known.contains(&key) {
            // Nothing is lost but which one it was.
            key = ("other".into(), "other".into());
        }
        let next = self.series.len();
        let position = *self.known.or_insert_with(key, || next);
        if position == next {
            self.series.push(Series {
                open: 0,
                calls: 0,
                errors: [0; Kind::COUNT],
                durations: [0; BUCKETS.len() + 1],
                micros: 0,
            });
        }
        SeriesId(position)
    }

    /// A call began.
    pub fn begin(&mut self, id: SeriesId) {
        if let Some(series) = self.series.get_mut(id.0) {
            series.open += 1;
        }
    }

    /// A call ended after so many microseconds, with an error of that kind if there was one.
    pub fn end(&mut self, id: SeriesId, micros: u64, error: Option<Kind>) {
        let Some(series) = self.series.get_mut(id.0) else {
            return;
        };
        series.open = series.open.saturating_sub(1);
        series.calls += 1;
        series.micros = series.micros.saturating_add(micros);
        let bucket = BUCKETS.iter().position(|(end, _)| micros <= *end);
        series.durations[bucket.unwrap_or(BUCKETS.len())] += 1;
        if let Some(kind) = error {
            series.errors[kind as usize] += 1;
        }
    }

    /// A request was answered with that status.
    pub fn answered(&mut self, status: u16) {
        let class = usize::from(status / 100).clamp(1, self.answers.len());
        self.answers[class - 1] += 1;
    }

    /// Bytes came in.
    pub fn received(&mut self, bytes: u64) {
        self.received_bytes += bytes;
    }

    /// Bytes went out.
    pub fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    /// Appends everything as text.
    pub fn write(&self, gauges: &Gauges, out: &mut String) {
        let out = &mut Text { out, family: "" };
        out.family("nexus_build_info", "gauge", "Which nexus this is.");
        out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], "1");
        out.family("nexus_uptime_seconds", "gauge", "Time since the server started.");
        let (whole, millis) = (gauges.uptime_ms / 1000, gauges.uptime_ms % 1000);
        out.sample("", &[], &format!("{whole}.{millis:03}"));
        out.family("nexus_connections", "gauge", "Connections that are open.");
        out.count("", &[], gauges.connections);
        out.family(
            "nexus_received_bytes_total",
            "counter",
            "Bytes that came in over connections.",
        );
        out.count("", &[], self.received_bytes);
        out.family(
            "nexus_sent_bytes_total",
            "counter",
            "Bytes that went out over connections.",
        );
        out.count("", &[], self.sent_bytes);
        out.family(
            "nexus_responses_total",
            "counter",
            "Answers by the class of their status.",
        );
        for (position, count) in self.answers.iter().enumerate() {
            const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
            out.count("", &[("class", CLASSES[position])], *count);
        }
        if !gauges.deployments.is_empty() {
            out.family("nexus_deployments", "gauge", "Deployments by state.");
            for (state, count) in &gauges.deployments {
                out.count("", &[("state", state)], *count);
            }
        }
        self.write_calls(out);
        write_pools(&gauges.pools, out);
    }

    fn write_calls(&self, out: &mut Text) {
        if self.known.is_empty() {
            return;
        }
        let each = |out: &mut Text, write: fn(&Series, Labels, &mut Text)| {
            for ((deployment, command), position) in self.known.iter() {
                let labels = [("deployment", deployment.as_str()), ("command", command.as_str())];
                write(&self.series[*position], &labels, out);
            }
        };
        out.family("nexus_calls_open", "gauge", "Calls under way.");
        each(out, |series, labels, out| out.count("", labels, series.open));
        out.family("nexus_calls_total", "counter", "Calls that have ended.");
        each(out, |series, labels, out| out.count("", labels, series.calls));
        out.family(
            "nexus_call_errors_total",
            "counter",
            "Calls that have failed, by kind of error.",
        );
        each(out, |series, labels, out| {
            for (kind, count) in Kind::all().zip(series.errors).filter(|(_, count)| *count > 0) {
                out.count("", &[labels[0], labels[1], ("kind", kind.name())], count);
            }
        });
        let help = "Time from the whole request to the whole result.";
        out.family("nexus_call_duration_seconds", "histogram", help);
        each(out, |series, labels, out| {
            let mut count = 0;
            for (position, (_, end)) in BUCKETS.iter().enumerate() {
                count += series.durations[position];
                out.count("_bucket", &[labels[0], labels[1], ("le", end)], count);
            }
            out.count("_bucket", &[labels[0], labels[1], ("le", "+Inf")], series.calls);
            let (whole, micros) = (series.micros / 1_000_000, series.micros % 1_000_000);
            out.sample("_sum", labels, &format!("{whole}.{micros:06}"));
            out.count("_count", labels, series.calls);
        });
    }
}

fn write_pools(pools: &[PoolGauge], out: &mut Text) {
    if pools.is_empty() {
        return;
    }
    let each = |out: &mut Text, write: fn(&PoolGauge, Labels, &mut Text)| {
        for pool in pools {
            write(pool, &[("deployment", pool.deployment), ("pool", pool.pool)], out);
        }
    };
    out.family("nexus_queue_length", "gauge", "Calls that wait for a worker.");
    each(out, |pool, labels, out| out.count("", labels, pool.waiting));
    out.family("nexus_workers", "gauge", "Workers of a pool by what they do.");
    each(out, |pool, labels, out| {
        out.count("", &[labels[0], labels[1], ("state", "idle")], pool.idle);
        out.count("", &[labels[0], labels[1], ("state", "busy")], pool.busy);
    });
    out.family(
        "nexus_pool_restarts_total",
        "counter",
        "Starts of a pool after its death.",
    );
    each(out, |pool, labels, out| out.count("", labels, pool.restarts));
}

type Labels<'l> = &'l [(&'l str, &'l str)];

struct Text<'o> {
    out: &'o mut String,
    /// What the samples belong to.
    family: &'static str,
}

impl Text<'_> {
    /// What the samples after it are.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // A `String` takes every write.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn count(&mut self, suffix: &str, labels: Labels, value: u64) {
        self.sample(suffix, labels, &value.to_string());
    }

    fn sample(&mut self, suffix: &str, labels: Labels, value: &str) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.out.push(if position == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        self.out.push_str(if labels.is_empty() { " " } else { "} " });
        self.out.push_str(value);
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Every sample by its name with labels, after all that the format asks for was checked.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let (mut family, mut kind) = ("", "");
        assert!(text.ends_with('\n'));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, _) = help.split_once(' ').unwrap();
                assert!(is_name(name) && families.insert(name), "{name} stands twice");
                let next = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                (family, kind) = next.split_once(' ').unwrap();
                assert_eq!(family, name);
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(value >= 0.0);
            let bare = name.split('{').next().unwrap();
            match (kind, bare.strip_prefix(family).unwrap()) {
                ("histogram", suffix) => assert!(["_bucket", "_sum", "_count"].contains(&suffix)),
                (kind, suffix) => {
                    assert!(suffix.is_empty() && (kind == "counter") == bare.ends_with("_total"))
                }
            }
            if let Some(labels) = name.strip_prefix(bare).filter(|labels| !labels.is_empty()) {
                check_labels(labels, is_name);
            }
            assert!(
                samples.insert(name.to_string(), value).is_none(),
                "{name} stands twice"
            );
        }
        samples
    }

    fn check_labels(labels: &str, is_name: impl Fn(&str) -> bool) {
        let mut rest = labels.strip_prefix('{').unwrap();
        loop {
            let (name, value) = rest.split_once("=\"").unwrap();
            assert!(is_name(name), "{labels}");
            let mut end = None;
            let mut escaped = false;
            for (at, letter) in value.char_indices() {
                match (escaped, letter) {
                    (true, letter) => {
                        assert!(matches!(letter, '\\' | '"' | 'n'), "{labels}");
                        escaped = false;
                    }
                    (false, '\\') => escaped = true,
                    (false, '"') => {
                        end = Some(at);
                        break;
                    }
                    (false, _) => {}
                }
            }
            match value[end.unwrap() + 1..].strip_prefix(',') {
                Some(more) => rest = more,
                None => return assert_eq!(&value[end.unwrap() + 1..], "}"),
            }
        }
    }

    fn text(metrics: &Metrics, gauges: &Gauges) -> BTreeMap<String, f64> {
        let mut out = String::new();
        metrics.write(gauges, &mut out);
        parse(&out)
    }

    #[test]
    fn what_was_told_is_counted() {
        let mut metrics = Metrics::new();
        let mean = metrics.series("default/stats@1", "mean");
        let odd = metrics.series("a\"b\\c\nd", "x");
        assert_eq!(metrics.series("default/stats@1", "mean"), mean);
        for (micros, error) in [
            (100, None),
            (101, None),
            (60_000_000, None),
            (60_000_001, Some(Kind::Raised)),
            (1_234_567, Some(Kind::Timeout)),
        ] {
            metrics.begin(mean);
            metrics.end(mean, micros, error);
        }
        metrics.begin(odd);
        metrics.answered(200);
        metrics.answered(404);
        metrics.received(3);
        metrics.sent(u64::from(u32::MAX));
        let gauges = Gauges {
            uptime_ms: 1234,
            connections: 2,
            deployments: vec![("ready", 1)],
            pools: vec![PoolGauge {
                deployment: "default/stats@1",
                pool: "py",
                waiting: 1,
                idle: 2,
                busy: 3,
                restarts: 4,
            }],
        };
        let found = text(&metrics, &gauges);
        let check = |name: &str, expected: f64| assert_eq!(found.get(name), Some(&expected), "{name}");
        let labels = "deployment=\"default/stats@1\",command=\"mean\"";
        let bucket = |le: &str| format!("nexus_call_duration_seconds_bucket{{{labels},le=\"{le}\"}}");
        check(&format!("nexus_calls_total{{{labels}}}"), 5.0);
        check(&format!("nexus_calls_open{{{labels}}}"), 0.0);
        check(
            "nexus_calls_open{deployment=\"a\\\"b\\\\c\\nd\",command=\"x\"}",
            1.0,
        );
        check(
            &format!("nexus_call_errors_total{{{labels},kind=\"raised\"}}"),
            1.0,
        );
        check(
            &format!("nexus_call_errors_total{{{labels},kind=\"timeout\"}}"),
            1.0,
        );
        check(&bucket("0.0001"), 1.0);
        check(&bucket("0.0005"), 2.0);
        check(&bucket("1"), 2.0);
        check(&bucket("2.5"), 3.0);
        check(&bucket("60"), 4.0);
        check(&bucket("+Inf"), 5.0);
        check(&format!("nexus_call_duration_seconds_count{{{labels}}}"), 5.0);
        check(
            &format!("nexus_call_duration_seconds_sum{{{labels}}}"),
            121.234769,
        );
        check("nexus_uptime_seconds", 1.234);
        check("nexus_connections", 2.0);
        check("nexus_responses_total{class=\"4xx\"}", 1.0);
        check("nexus_sent_bytes_total", 4294967295.0);
        check("nexus_received_bytes_total", 3.0);
        check("nexus_deployments{state=\"ready\"}", 1.0);
        let pool = "deployment=\"default/stats@1\",pool=\"py\"";
        check(&format!("nexus_queue_length{{{pool}}}"), 1.0);
        check(&format!("nexus_workers{{{pool},state=\"idle\"}}"), 2.0);
        check(&format!("nexus_workers{{{pool},state=\"busy\"}}"), 3.0);
        check(&format!("nexus_pool_restarts_total{{{pool}}}"), 4.0);
    }

    #[test]
    fn series_are_bounded() {
        let mut metrics = Metrics::new();
        for number in 0..METRIC_SERIES_MAX + 10 {
            let id = metrics.series("d", &number.to_string());
            metrics.begin(id);
            metrics.end(id, 1, None);
        }
        let found = text(&metrics, &Gauges::default());
        let calls: Vec<&f64> = found
            .iter()
            .filter(|(name, _)| name.starts_with("nexus_calls_total{"))
            .map(|(_, value)| value)
            .collect();
        assert_eq!(calls.len(), METRIC_SERIES_MAX + 1);
        assert_eq!(calls.into_iter().sum::<f64>(), (METRIC_SERIES_MAX + 10) as f64);
        assert_eq!(
            found["nexus_calls_total{deployment=\"other\",command=\"other\"}"],
            10.0
        );
    }
}
