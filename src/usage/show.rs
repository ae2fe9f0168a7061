//! A report as JSON and as CSV. What is too long for a number of JSON is a text.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::usage::count::{Class, Way};
use crate::usage::period::{HOUR, show_day};
use crate::usage::report::{By, Line, Report};

pub fn json(report: &Report) -> Value {
    json!({
        "month": report.month.to_string(),
        "day": report.day.map(show_day),
        "by": report.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
        "currency": Some(&report.currency).filter(|c| !c.is_empty()),
        "at": report.at.iso8601(),
        "lines": report.lines.iter().map(|line| line_json(&report.by, line)).collect::<Vec<_>>(),
        "total": line_json(&[], &report.total),
    })
}

fn line_json(by: &[By], line: &Line) -> Value {
    let mut shown: Map<String, Value> = by.iter().zip(&line.names).map(|(by, name)| (by.name().to_owned(), json!(name))).collect();
    let counts = &line.counts;
    let requests: Map<String, Value> = Class::ALL.into_iter().zip(counts.requests).map(|(c, n)| (c.name().to_owned(), json!(n))).collect();
    let out: Map<String, Value> = Way::ALL.into_iter().zip(counts.bytes_out).map(|(w, n)| (w.name().to_owned(), json!(n))).collect();
    for (name, value) in [
        ("requests", Value::Object(requests)),
        ("requests_total", json!(counts.all_requests())),
        ("bytes_in", json!(counts.bytes_in)),
        ("bytes_out", Value::Object(out)),
        ("bytes_out_total", json!(counts.all_bytes_out())),
        ("job_milliseconds", json!(counts.job_millis)),
        ("byte_milliseconds", json!(counts.byte_millis.to_string())),
        ("byte_hours", json!((counts.byte_millis / u128::from(HOUR)).to_string())),
        ("cost", json!(line.cost.map(|cost| cost.to_string()))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    Value::Object(shown)
}

/// RFC 4180, with a line of names first. Sums are left to whoever reads it.
pub fn csv(report: &Report) -> String {
    let mut names: Vec<String> = report.by.iter().map(|by| by.name().to_owned()).collect();
    names.extend(Class::ALL.map(|class| format!("requests_{}", class.name())));
    names.push("bytes_in".into());
    names.extend(Way::ALL.map(|way| format!("bytes_out_{}", way.name())));
    names.extend(["job_milliseconds", "byte_milliseconds", "cost", "currency"].map(String::from));
    let mut out = names.join(",");
    out.push_str("\r\n");
    for line in &report.lines {
        let counts = &line.counts;
        let mut cells: Vec<String> = line.names.iter().map(|name| cell(name)).collect();
        cells.extend(counts.requests.map(|n| n.to_string()));
        cells.push(counts.bytes_in.to_string());
        cells.extend(counts.bytes_out.map(|n| n.to_string()));
        cells.extend([counts.job_millis.to_string(), counts.byte_millis.to_string()]);
        cells.extend([line.cost.map(|cost| cost.to_string()).unwrap_or_default(), cell(&report.currency)]);
        let _ = write!(out, "{}\r\n", cells.join(","));
    }
    out
}

/// Runs are named by clients: none is taken for a formula by the program that opens the table.
fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
