//! `queueTrigger` and `timerTrigger`.
//! (Azure/azure-sdk-for-net: sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues/src/Triggers)

use serde_json::value::to_raw_value;

use super::*;

/// The body of an invocation for one queue message.
///
/// # Errors
/// None in practice: any text can be written.
pub fn queue(
    trigger_name: &str,
    data_type: DataType,
    message: &Message,
    call: &Call<'_>,
) -> Result<Vec<u8>, WireError> {
    let text = String::from_utf8_lossy(&message.body);
    body(
        trigger_name,
        message.body.len() * 2,
        |out| match data_type {
            DataType::Binary => Value::Bytes(&message.body).write(out),
            DataType::String | DataType::Absent => Value::Text(&text).write(out),
        },
        |metadata| {
            // `QueueTrigger` is missing: keys that end with "trigger" are dropped.
            let merged = merged(&message.body);
            let id = message.id.to_string();
            let receipt = message.receipt.to_string();
            let count = to_raw_value(&message.dequeue_count)?;
            let date = Value::DateTimeOffset;
            let own = [
                ("DequeueCount", Value::Json(&count)),
                ("ExpirationTime", date(message.expires)),
                ("Id", Value::Text(&id)),
                ("InsertionTime", date(message.inserted)),
                ("NextVisibleTime", date(message.next_visible)),
                ("PopReceipt", Value::Text(&receipt)),
            ];
            overwritten(own, &merged, metadata)?;
            call.write(metadata)
        },
    )
}

/// The body of an invocation of a timer with `useMonitor` off.
///
/// # Errors
/// None in practice.
pub fn timer(trigger_name: &str, call: &Call<'_>) -> Result<Vec<u8>, WireError> {
    const INFO: &[u8] =
        br#"{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}"#;
    body(
        trigger_name,
        0,
        |out| {
            out.extend_from_slice(INFO);
            Ok(())
        },
        |metadata| call.write(metadata),
    )
}
