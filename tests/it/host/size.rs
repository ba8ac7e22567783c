//! The largest batch that a hub of large events gives.

#![cfg(target_os = "linux")]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spwatch::devhost::Request;

use super::rig::*;

const EVENTS: usize = 32;
const EVENT_BYTES: usize = 3 << 20;
/// Generous, and true of a debug build: it is to notice a copy too many, not to measure. What is counted is
/// the highest resident set of the whole process so far. The body has 4/3 of 96 MiB; while it is decoded its
/// text is there too. The events of a hub are at most 1 MiB each; these are larger, to be on the safe side.
const LIMIT_MIB: u64 = 1024;

#[tokio::test]
async fn a_batch_of_a_hundred_megabytes_is_judged_in_bounded_memory() {
    let text = policy(SOC);
    let rig = start(&text).await;
    // One record that is due, and one whose bulk nobody reads.
    let mut bulky = record("bulky", PAYROLL, HOME, 1);
    bulky["properties"]["appliedConditionalAccessPolicies"] = "x".repeat(EVENT_BYTES).into();
    let event = envelope(&[bulky, record("due", PAYROLL, AWAY, 2)]);
    // As `dataType` binary writes it; put together from one encoding, for the sake of debug builds.
    let element = format!("\\\"{}\\\"", STANDARD.encode(&event));
    let elements = vec![element; EVENTS].join(",");
    let body = format!("{{\"Data\":{{\"events\":\"[{elements}]\"}},\"Metadata\":{{}}}}");
    let exchange = rig.post(Request::new("SignIns", body)).await;
    let messages = messages(&exchange.judged.unwrap());
    assert_eq!(messages.len(), 1);
    let id = messages[0]["alert"]["id"].as_str().unwrap().to_owned();
    assert!(due(&text, &[event]).contains(&id));
    let peak = peak_mib(&rig);
    println!(
        "{} MiB in {EVENTS} events: {peak} MiB at most, {:?}",
        (EVENTS * EVENT_BYTES) >> 20,
        exchange.elapsed
    );
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

/// Every byte of it is kept, and comes back in the answer.
#[tokio::test]
async fn a_batch_of_nothing_but_garbage_is_kept_in_bounded_memory() {
    let rig = start(&policy(SOC)).await;
    // The largest events that a hub takes, and no text at all.
    let event = [0x80, 0xfe].repeat(1 << 19);
    let element = format!("\\\"{}\\\"", STANDARD.encode(&event));
    let elements = vec![element; EVENTS].join(",");
    let body = format!("{{\"Data\":{{\"events\":\"[{elements}]\"}},\"Metadata\":{{}}}}");
    let exchange = rig.post(Request::new("SignIns", body)).await;
    let rejected = items(&exchange.judged.unwrap(), "rejected").concat();
    let kept = STANDARD.encode(&event);
    assert_eq!(rejected.matches(&kept).count(), EVENTS);
    let peak = peak_mib(&rig);
    println!("{EVENTS} MiB of garbage: {peak} MiB at most");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

/// The highest resident set of the handler's process so far.
fn peak_mib(rig: &Rig) -> u64 {
    let process = rig.processes()[0];
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.unwrap() / 1024
}
