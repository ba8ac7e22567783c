//! The status as a page: one file, no script, nothing loaded.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Partition, Standing};
use crate::sign_in::Timestamp;
use crate::stream::Tally;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#888;--bad:#b3261e;--good:#1b6e3c}\
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--good:#7bd89b}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:2rem 0 .4rem}\
.verdict{font-size:1.3rem;font-weight:600;margin:.2rem 0}.bad{color:var(--bad)}.good{color:var(--good)}\
.soft{color:var(--soft)}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{font-weight:500;color:var(--soft)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
code,pre{font:13px/1.45 ui-monospace,monospace}code{overflow-wrap:anywhere}.wide td,.wide th{white-space:nowrap}pre{overflow-x:auto;padding:.6rem;border:1px solid var(--line)}";

/// The page.
pub(super) fn page(standing: &Standing) -> String {
    let now = standing.time;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta http-equiv="refresh" content="60";
                title { "spwatch: " (verdict(standing)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "spwatch" }
                p.verdict.good[standing.well].bad[!standing.well] { (verdict(standing)) }
                @if !standing.problems.is_empty() {
                    ul { @for problem in &standing.problems { li { (problem) } } }
                }
                p.soft {
                    "As of " (clock(now)) ". Version " (standing.version)
                    @if let Some(commit) = standing.commit { ", commit " code { (commit) } }
                    "."
                }
                (policy(standing))
                @match (standing.state_is_there, standing.as_of) {
                    (true, _) => {}
                    (false, Some(at)) => p.bad { "The state store is away; what follows is as of " (clock(at)) "." },
                    (false, None) => p.bad { "The state store is away. Nothing is known of the rest." },
                }
                @if standing.as_of.is_some() {
                    (sign_ins(standing))
                    (partitions(&standing.partitions, now))
                    (categories(standing))
                }
                (alerts(standing))
            }
        }
    };
    markup.into_string()
}

fn verdict(standing: &Standing) -> String {
    match standing.problems.len() {
        0 => "All is well".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

fn policy(standing: &Standing) -> Markup {
    html! {
        h2 { "Policy" }
        @match &standing.policy {
            None => p { "None is in force." },
            Some(policy) => table {
                tr { th { "in force" } td { code { (policy.name) } } }
                tr { th { "hash" } td { code { (policy.hash) } } }
                tr { th { "entries" } td { (policy.apps) } }
                @if let Some(since) = policy.since {
                    tr { th { "since" } td { (clock(since)) ", " (ago(since, standing.time)) } }
                }
            },
        }
        @if let Some(refused) = &standing.refused {
            p.bad {
                "Refused " (clock(refused.at)) ", " (ago(refused.at, standing.time))
                "; the policy above stays in force."
            }
            pre { (refused.problems) }
        }
    }
}

fn sign_ins(standing: &Standing) -> Markup {
    let rows = [
        ("this hour", &standing.counts.this_hour),
        ("last 24 hours", &standing.counts.last_24_hours),
    ];
    html! {
        h2 { "Judged" }
        div.wide {
            table {
                tr { th {} @for (name, _) in columns(&Tally::default()) { th.n { (name) } } }
                @for (name, tally) in rows {
                    tr { th { (name) } @for (_, count) in columns(tally) { td.n { (count) } } }
                }
            }
        }
    }
}

fn columns(tally: &Tally) -> [(&'static str, u64); 9] {
    [
        ("batches", tally.batches),
        ("events", tally.events),
        ("records", tally.records),
        ("sign-ins", tally.sign_ins),
        ("allowed", tally.allowed),
        ("outside", tally.violation),
        ("unlisted", tally.unknown_app),
        ("rejected", tally.rejected),
        ("alerts", tally.alerts),
    ]
}

fn partitions(partitions: &[Partition], now: Timestamp) -> Markup {
    html! {
        h2 { "Last batch of each partition" }
        @if partitions.is_empty() {
            p.soft { "No batch has arrived yet." }
        } @else {
            div.wide {
                table {
                    tr {
                        th { "partition" } th { "arrived" } th.n { "events" } th.n { "sequence" }
                        th.n { "in the hub for" } th.n { "after the sign-in" }
                    }
                    @for partition in partitions {
                        tr {
                            td { (partition.id) @if partition.late { " " span.bad { "late" } } }
                            td { (clock(partition.seen)) ", " (ago(partition.seen, now)) }
                            td.n { (partition.events) }
                            td.n { (span(partition)) }
                            td.n { (duration(partition.hub_lag_seconds)) }
                            td.n { (partition.event_lag_seconds.map_or_else(String::new, duration)) }
                        }
                    }
                }
            }
        }
    }
}

fn span(partition: &Partition) -> String {
    match (partition.first_sequence, partition.last_sequence) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) | (_, Some(only)) => only.to_string(),
        (None, None) => String::new(),
    }
}

fn categories(standing: &Standing) -> Markup {
    html! {
        @if !standing.categories.is_empty() {
            h2 { "Logs" }
            table {
                tr { th { "category" } th { "last record arrived" } th { "silent after" } }
                @for category in &standing.categories {
                    tr {
                        td { (category.name) @if category.silent { " " span.bad { "silent" } } }
                        td { (clock(category.last)) ", " (ago(category.last, standing.time)) }
                        td { (duration(category.silent_after_seconds)) }
                    }
                }
            }
        }
    }
}

fn alerts(standing: &Standing) -> Markup {
    html! {
        h2 { "Alerts" }
        table {
            @for sink in &standing.sinks {
                tr {
                    th { "sink " (sink.name) }
                    td {
                        @match &sink.problem {
                            None => "no problem known",
                            Some(problem) => span.bad { (problem) },
                        }
                    }
                }
            }
            @if let Some(house) = &standing.housekeeping {
                tr { th { "undelivered" } td { (house.undelivered) } }
                tr { th { "being merged" } td { (house.windows) } }
                tr { th { "about to be sent" } td { (house.pending) } }
                @if let Some(at) = house.at {
                    tr { th { "last housekeeping" } td { (clock(at)) ", " (ago(at, standing.time)) } }
                }
            } @else {
                tr { th { "housekeeping" } td { "has not run yet" } }
            }
        }
    }
}

/// To the second, UTC.
fn clock(time: Timestamp) -> String {
    time.utc().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.unix_seconds() - time.unix_seconds();
    format!("{} ago", duration(seconds.max(0)))
}

/// In two units at most.
fn duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let text = match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => format!("{minutes} min {} s", seconds % 60),
        600..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn says_durations_in_two_units_at_most() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
            (-5, "-5 s"),
        ] {
            assert_eq!(duration(seconds), said);
        }
    }
}
