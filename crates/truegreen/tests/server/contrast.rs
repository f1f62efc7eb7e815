//! `truegreen contrast` as a user runs it, on tables of several kinds.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn truegreen(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.current_dir(dir).arg("contrast").args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn told(answer: &Value) -> Vec<String> {
    let condition = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        format!("{} {} {}", text("attribute"), text("op"), text("value"))
    };
    let title =
        |one: &Value| one["conditions"].as_array().unwrap().iter().map(condition).collect::<Vec<_>>().join(" and ");
    answer["explanations"].as_array().unwrap().iter().map(title).collect()
}

fn requests() -> String {
    let mut csv = "id,at,region,version,status\n".to_owned();
    for n in 0..1_000_u32 {
        let status = if n % 4 == 2 && n / 4 % 5 == 1 { 502 } else { 200 };
        let (minute, second) = (n / 60, n % 60);
        writeln!(csv, "req-{n},2026-01-01T10:{minute:02}:{second:02}Z,r{},1.{},{status}", n % 4, n / 4 % 5).unwrap();
    }
    csv
}

#[test]
fn a_table_of_requests_is_explained_in_text_and_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("requests.csv"), requests()).unwrap();
    let found = answer(&truegreen(dir.path(), &["requests.csv", "--failing", "status=500,502", "--json"]));
    assert_eq!(told(&found), ["region = r2 and version = 1.1"]);
    assert_eq!(found["verdict"], "explained");
    let one = &found["explanations"][0];
    assert_eq!((one["failing_share"].as_f64(), one["healthy_share"].as_f64()), (Some(1.0), Some(0.0)));
    assert!(one["interval"][0].as_f64() < one["risk_ratio"].as_f64() && one["p_value"].as_f64() < Some(1e-10));
    let text = String::from_utf8(truegreen(dir.path(), &["requests.csv", "--failing", "status=502"]).stdout).unwrap();
    assert!(text.starts_with("EXPLAINED: 50 of 1,000 attempts failed, 100 % of them where region = r2"), "{text}");
    assert!(text.contains("nearly unique: id") && text.contains("a time: at"), "{text}");
}

#[test]
fn standard_input_lists_and_nested_fields_are_read() {
    let mut ndjson = String::new();
    for n in 0..500_u32 {
        let (first, second, failed) = (n % 5, n % 7, n % 7 == 3 || n % 5 == 3);
        writeln!(ndjson, r#"{{"ok":null,"failed":{failed},"http":{{"hosts":["h{first}","h{second}"]}}}}"#).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.args(["contrast", "-", "--failing", "failed", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(ndjson.as_bytes()).unwrap();
    assert_eq!(told(&answer(&child.wait_with_output().unwrap())), ["http.hosts = h3"]);
}

#[test]
fn counts_and_a_time_before_tell_what_got_worse() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "minute,place,network,bad,total\n".to_owned();
    for minute in 0..20_u32 {
        for place in 0..8_u32 {
            for network in 0..6_u32 {
                // One place always was bad; another got worse.
                let usual = if place == 1 { 200 } else { 5 + (minute * 7 + place * 3 + network) % 4 };
                let bad = if place == 4 && minute >= 12 { usual + 90 } else { usual };
                writeln!(csv, "2026-01-01 10:{minute:02}:00,p{place},n{network},{bad},1000").unwrap();
            }
        }
    }
    std::fs::write(dir.path().join("counts.csv"), csv).unwrap();
    let counts = ["counts.csv", "--bad", "bad", "--total", "total", "--json"];
    let since = ["--time", "minute", "--failing-from", "2026-01-01T10:12:00Z"];
    let found = answer(&truegreen(dir.path(), &[&counts[..], &since].concat()));
    assert_eq!(told(&found), ["place = p4"]);
    let found = answer(&truegreen(dir.path(), &counts));
    assert_eq!(told(&found)[0], "place = p1");
}

#[test]
fn without_an_outcome_a_time_tells_what_became_more_frequent() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "at;kind;latency\n".to_owned();
    for n in 0..2_000_u32 {
        let kind = if n >= 1_500 && n % 3 == 0 { "bulk".to_owned() } else { format!("k{}", n % 9) };
        writeln!(csv, "{};{kind};{}", 1_700_000_000 + n, n * 7919 % 997).unwrap();
    }
    std::fs::write(dir.path().join("rows.csv"), csv).unwrap();
    let found = answer(&truegreen(
        dir.path(),
        &["rows.csv", "--time", "at", "--failing-from", "1700001500", "--failing-until", "1700001900", "--json"],
    ));
    assert_eq!(told(&found), ["kind = bulk"]);
}

#[test]
fn with_a_failing_column_a_time_tells_what_got_worse() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "at,host,kind,failed\n".to_owned();
    for n in 0..3_600_u32 {
        // One host always was bad; a kind is since 10:40.
        let failed = n % 9 == 4 && n % 2 == 0 || n >= 2_400 && n % 7 == 3;
        writeln!(csv, "2026-01-01 10:{:02}:{:02},h{},k{},{failed}", n / 60, n % 60, n % 9, n % 7).unwrap();
    }
    std::fs::write(dir.path().join("rows.csv"), csv).unwrap();
    let since = ["--time", "at", "--failing-from", "2026-01-01T10:40:00Z", "--json"];
    let found = answer(&truegreen(dir.path(), &[&["rows.csv", "--failing", "failed"][..], &since].concat()));
    assert_eq!(told(&found), ["kind = k3"]);
}

#[test]
fn a_time_alone_tells_which_numbers_became_more_frequent_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "at,region,version,latency\n".to_owned();
    for n in 0..6_000_u32 {
        let usual = 20 + n * 7919 % 61;
        let latency = if n >= 4_000 && n % 5 == 2 { usual + 400 } else { usual };
        writeln!(csv, "{},r{},v{},{latency}", 1_700_000_000 + n, n % 5, n % 3).unwrap();
    }
    std::fs::write(dir.path().join("rows.csv"), csv).unwrap();
    let found = answer(&truegreen(dir.path(), &["rows.csv", "--time", "at", "--failing-from", "1700004000", "--json"]));
    let told = told(&found);
    assert!(told.len() == 1 && told[0].contains("latency > "), "{told:?}");
}

/// Leaves with what was predicted and what was counted, as decimal numbers: what is lacking is what failed.
#[test]
fn what_was_predicted_and_is_lacking_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "province,network,device,lacking,predicted\n".to_owned();
    for n in 0..600_u32 {
        let (province, network, device) = (n % 12, n / 12 % 10, n / 120);
        let predicted = 400.5 + f64::from(n * 7919 % 1_000);
        let off = f64::from(n * 31 % 97) / 97.0 * 0.04;
        let lacking = predicted * if province == 4 && network == 7 { 0.6 } else { off };
        writeln!(csv, "p{province},n{network},d{device},{lacking:.2},{predicted:.2}").unwrap();
    }
    std::fs::write(dir.path().join("leaves.csv"), csv).unwrap();
    let found = answer(&truegreen(dir.path(), &["leaves.csv", "--bad", "lacking", "--total", "predicted", "--json"]));
    assert_eq!(told(&found), ["province = p4 and network = n7"]);
}

/// Scenario: a byte order mark, quotes around what holds the separator, blanks, booleans in any case, words for nothing,
/// thousands that are set apart, an empty column, ids and times. Guarantee: all of it is read as what it means.
#[test]
fn tables_are_read_as_other_programs_write_them() {
    let dir = tempfile::tempdir().unwrap();
    for separator in [",", ";"] {
        let mut csv =
            ["\u{feff}\"order, id\"", "at", "is new", "coupon", "payload", "remark", "failed"].join(separator) + "\r\n";
        for n in 0..1_500_u32 {
            let is_new = ["True", "false", "TRUE", " true", "FALSE"][n as usize % 5];
            let coupon = ["NULL", "summer", "nan", "", "winter"][n as usize / 5 % 5];
            let payload = 900 + n * 7919 % 4_000;
            let payload = if payload >= 1_000 {
                format!("{},{:03}", payload / 1_000, payload % 1_000)
            } else {
                payload.to_string()
            };
            let size: u32 = payload.replace(',', "").parse().unwrap();
            let failed = if is_new.trim().eq_ignore_ascii_case("true") && size > 3_000 { "Yes" } else { " no" };
            let cells = [
                format!("\"ord-{n}, x\""),
                format!("{}/Jan/2026:10:{:02}:{:02} +0000", 1 + n / 3_600, n / 60, n % 60),
                is_new.to_owned(),
                coupon.to_owned(),
                format!("\"{payload}\""),
                String::new(),
                failed.to_owned(),
            ];
            csv += &(cells.join(separator) + "\r\n");
        }
        std::fs::write(dir.path().join("rows.csv"), csv).unwrap();
        let found = answer(&truegreen(dir.path(), &["rows.csv", "--failing", "failed", "--json"]));
        let told = told(&found);
        assert!(told.len() == 1 && told[0].starts_with("is new = true and payload > "), "{told:?}");
        let left_out = found["ignored"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap());
        assert_eq!(left_out.collect::<Vec<_>>(), ["nearly unique", "a time"], "{found}");
    }
}

#[test]
fn mistakes_are_told_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("requests.csv", &requests());
    write("empty.csv", "");
    write("header.csv", "a,b\n");
    write("counts.csv", "place,bad,total\na,1,10\nb,many,10\n");
    write("more.csv", "place,bad,total\na,11,10\n");
    write("ragged.csv", "place,failed\na,1\nb,0,7\nc,0\n");
    let said = |args: &[&str]| {
        let output = truegreen(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let mut all = String::new();
    for args in [
        &["requests.csv"][..],
        &["requests.csv", "--failing", "statsu"],
        &["requests.csv", "--failing", "status"],
        &["requests.csv", "--failing", "status=502", "--ignore", "rgion"],
        &["empty.csv", "--failing", "a"],
        &["header.csv", "--failing", "a"],
        &["counts.csv", "--bad", "bad", "--total", "total"],
        &["more.csv", "--bad", "bad", "--total", "total"],
        &["requests.csv", "--time", "at", "--failing-from", "noon"],
        &["requests.csv", "--time", "region", "--failing-from", "2026-01-01T10:00:00Z"],
    ] {
        writeln!(all, "$ truegreen contrast {}\n{}", args.join(" "), said(args)).unwrap();
    }
    insta::assert_snapshot!(all);
    write("rows.ndjson", "{\"host\":\"a\",\"failed\":true}\n{\"host\":\"b\",\"failed\":false}\n");
    let told = said(&["rows.ndjson", "--failing", "faild"]);
    assert!(told.contains("there is no column \"faild\"") && told.contains("did you mean \"failed\""), "{told}");
    let ragged = truegreen(dir.path(), &["ragged.csv", "--failing", "failed"]);
    let told = String::from_utf8(ragged.stderr).unwrap();
    assert!(told.contains("ragged.csv:3: 3 cells, where the header has 2; left out"), "{told}");
}
