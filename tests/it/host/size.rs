//! The largest batch that a hub of large events gives.

#![cfg(target_os = "linux")]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spwatch::devhost::Request;

use super::rig::*;

const EVENTS: usize = 32;
const EVENT_BYTES: usize = 3 << 20;
/// Beside twice the body: the program itself, the policy, the state store and its threads, the answer.
const BESIDE_MIB: u64 = 40;

/// What a body may take, in MiB. What is held against it is the highest resident set of the whole process so far.
fn limit_mib(body: &str) -> u64 {
    2 * (body.len() as u64 >> 20) + BESIDE_MIB
}

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
    let limit = limit_mib(&body);
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
    assert!(peak <= limit, "{peak} MiB");
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
    let limit = limit_mib(&body);
    let exchange = rig.post(Request::new("SignIns", body)).await;
    let rejected = items(&exchange.judged.unwrap(), "rejected").concat();
    let kept = STANDARD.encode(&event);
    assert_eq!(rejected.matches(&kept).count(), EVENTS);
    let peak = peak_mib(&rig);
    println!("{EVENTS} MiB of garbage: {peak} MiB at most");
    assert!(peak <= limit, "{peak} MiB");
}

/// What is promised of memory, in each of the forms that bindings give events in.
#[tokio::test]
async fn a_body_takes_twice_its_size_in_every_shape() {
    let mut bulky = record("bulky", PAYROLL, HOME, 1);
    // Quotes and letters beyond ASCII: what has to be decoded is.
    bulky["properties"]["appliedConditionalAccessPolicies"] =
        "x \"y\" \u{e9} ".repeat(70_000).into();
    let event = envelope(&[bulky, record("due", PAYROLL, AWAY, 2)]);
    let events = vec![event.as_str(); EVENTS];
    let array = format!("[{}]", events.join(","));
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let encoded = quoted(&STANDARD.encode(&event));
    let shapes = [
        (
            "binary",
            quoted(&format!("[{}]", vec![encoded.as_str(); EVENTS].join(","))),
        ),
        (
            "string",
            quoted(&format!(
                "[{}]",
                vec![quoted(&event).as_str(); EVENTS].join(",")
            )),
        ),
        ("parsed", quoted(&array)),
        ("an array", array),
    ];
    for (shape, value) in shapes {
        let rig = start(&policy(SOC)).await;
        let body = format!("{{\"Data\":{{\"events\":{value}}},\"Metadata\":{{}}}}");
        let limit = limit_mib(&body);
        let size = body.len() >> 20;
        let exchange = rig.post(Request::new("SignIns", body)).await;
        assert_eq!(messages(&exchange.judged.unwrap()).len(), 1, "{shape}");
        let peak = peak_mib(&rig);
        println!("{shape}: a body of {size} MiB, {peak} MiB at most");
        assert!(peak <= limit, "{shape}: {peak} MiB, a body of {size} MiB");
    }
}

/// The highest resident set of the handler's process so far.
fn peak_mib(rig: &Rig) -> u64 {
    let process = rig.processes()[0];
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.unwrap() / 1024
}
