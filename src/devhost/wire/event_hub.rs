//! `eventHubTrigger`: every shape that `dataType`, `cardinality` and the extension's age give it.
//! (Azure/azure-sdk-for-net: sdk/eventhub/Microsoft.Azure.WebJobs.Extensions.EventHubs/src/Triggers)

use serde_json::Map;
use serde_json::value::to_raw_value;

use super::*;

/// How a trigger is declared, and which metadata to send with it.
#[derive(Debug, Clone, Copy)]
pub struct EventHubBinding<'a> {
    /// The binding's name.
    pub name: &'a str,
    /// Its `dataType`.
    pub data_type: DataType,
    /// Its `cardinality`.
    pub cardinality: Cardinality,
    /// Which metadata.
    pub metadata: Metadata,
}

/// Where a batch comes from.
#[derive(Debug, Clone, Copy)]
pub struct Partition<'a> {
    /// `<namespace>.servicebus.windows.net`.
    pub namespace: &'a str,
    /// The hub.
    pub hub: &'a str,
    /// The consumer group.
    pub consumer_group: &'a str,
    /// The partition's id.
    pub id: usize,
}

/// The body of one invocation.
///
/// # Errors
/// The host could not bind this batch either: see [`WireError`].
pub fn event_hub(
    binding: EventHubBinding<'_>,
    partition: Partition<'_>,
    batch: &[StoredEvent],
    call: &Call<'_>,
) -> Result<Vec<u8>, WireError> {
    let size: usize = batch.iter().map(|event| event.body.len() + 300).sum();
    let one = match (binding.cardinality, batch) {
        (Cardinality::Many, _) => None,
        (Cardinality::One, [event]) => Some(event),
        (Cardinality::One, _) => return Err(WireError::NotOne(batch.len())),
    };
    body(
        binding.name,
        size * 4 / 3,
        |out| match one {
            Some(event) => single(binding.data_type, event, out),
            None => many(binding.data_type, batch, out),
        },
        |metadata| {
            match (binding.metadata, one) {
                (Metadata::Empty, _) => return Ok(()),
                (Metadata::Admin, _) => {
                    metadata.plain("Properties", &Map::new())?;
                    metadata.plain("SystemProperties", &Map::new())?;
                }
                (age, Some(event)) => {
                    contexts(partition, age, metadata)?;
                    single_metadata(binding.data_type, event, age, metadata)?;
                }
                (age, None) => {
                    contexts(partition, age, metadata)?;
                    many_metadata(batch, age, metadata)?;
                }
            }
            call.write(metadata)
        },
    )
}

fn many(data_type: DataType, batch: &[StoredEvent], out: &mut Vec<u8>) -> Result<(), WireError> {
    quoted(out, |json| {
        json.write_all(b"[")?;
        for (index, event) in batch.iter().enumerate() {
            if index > 0 {
                json.write_all(b",")?;
            }
            match data_type {
                DataType::Binary => {
                    json.write_all(b"\"")?;
                    base64_onto(&event.body, json)?;
                    json.write_all(b"\"")?;
                }
                DataType::String => {
                    serde_json::to_writer(&mut *json, &String::from_utf8_lossy(&event.body))?;
                }
                DataType::Absent => {
                    let value: &RawValue = serde_json::from_slice(&event.body)
                        .map_err(|source| WireError::NotJson { index, source })?;
                    json.write_all(value.get().as_bytes())?;
                }
            }
        }
        Ok(json.write_all(b"]")?)
    })
}

fn single(data_type: DataType, event: &StoredEvent, out: &mut Vec<u8>) -> Result<(), WireError> {
    match data_type {
        DataType::Binary => Value::Bytes(&event.body).write(out),
        DataType::String | DataType::Absent => {
            Value::Text(&String::from_utf8_lossy(&event.body)).write(out)
        }
    }
}

fn contexts(
    partition: Partition<'_>,
    age: Metadata,
    metadata: &mut Object<'_>,
) -> Result<(), WireError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Context<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        is_checkpointing_after_invocation: Option<bool>,
        fully_qualified_namespace: &'a str,
        event_hub_name: &'a str,
        consumer_group: &'a str,
        partition_id: String,
    }
    let mut context = Context {
        is_checkpointing_after_invocation: None,
        fully_qualified_namespace: partition.namespace,
        event_hub_name: partition.hub,
        consumer_group: partition.consumer_group,
        partition_id: partition.id.to_string(),
    };
    if age == Metadata::Current {
        context.is_checkpointing_after_invocation = Some(true);
        metadata.plain("TriggerPartitionContext", &context)?;
    }
    metadata.plain("PartitionContext", &context)
}

struct SystemProperties<'a>(&'a StoredEvent, Metadata);

impl Serialize for SystemProperties<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event, age) = self;
        let current = *age == Metadata::Current;
        let mut object =
            serializer.serialize_struct("SystemProperties", 4 + usize::from(current))?;
        object.serialize_field("SequenceNumber", &event.sequence_number)?;
        object.serialize_field("Offset", &event.offset)?;
        if current {
            object.serialize_field("OffsetString", &event.offset.to_string())?;
        }
        object.serialize_field("PartitionKey", &event.partition_key)?;
        object.serialize_field("EnqueuedTimeUtc", &iso(event.enqueued))?;
        object.end()
    }
}

fn many_metadata(
    batch: &[StoredEvent],
    age: Metadata,
    metadata: &mut Object<'_>,
) -> Result<(), WireError> {
    fn list<T>(batch: &[StoredEvent], value: impl Fn(&StoredEvent) -> T) -> Vec<T> {
        batch.iter().map(value).collect()
    }
    let offsets = list(batch, |event| event.offset.to_string());
    let keys: Vec<_> = batch.iter().map(|event| &event.partition_key).collect();
    metadata.nested("PartitionKeyArray", &keys)?;
    metadata.nested("OffsetArray", &offsets)?;
    if age == Metadata::Current {
        metadata.nested("OffsetStringArray", &offsets)?;
    }
    metadata.nested(
        "SequenceNumberArray",
        &list(batch, |event| event.sequence_number),
    )?;
    metadata.nested(
        "EnqueuedTimeUtcArray",
        &list(batch, |event| iso(event.enqueued)),
    )?;
    let properties: Vec<_> = batch.iter().map(|event| &event.properties).collect();
    metadata.nested("PropertiesArray", &properties)?;
    let system: Vec<_> = batch
        .iter()
        .map(|event| SystemProperties(event, age))
        .collect();
    metadata.nested("SystemPropertiesArray", &system)
}

fn single_metadata(
    data_type: DataType,
    event: &StoredEvent,
    age: Metadata,
    metadata: &mut Object<'_>,
) -> Result<(), WireError> {
    // Only a text is looked into; bytes are not.
    let merged = match data_type {
        DataType::Binary => Vec::new(),
        DataType::String | DataType::Absent => merged(&event.body),
    };
    let offset = event.offset.to_string();
    let sequence_number = to_raw_value(&event.sequence_number)?;
    let properties = to_raw_value(&event.properties)?;
    let system_properties = to_raw_value(&SystemProperties(event, age))?;
    let key = event.partition_key.as_deref().map(Value::Text);
    let current = (age == Metadata::Current).then_some(Value::Text(&offset));
    let own = [
        ("PartitionKey", key),
        ("Offset", Some(Value::Text(&offset))),
        ("OffsetString", current),
        ("SequenceNumber", Some(Value::Json(&sequence_number))),
        ("EnqueuedTimeUtc", Some(Value::DateTime(event.enqueued))),
        ("Properties", Some(Value::Object(&properties))),
        ("SystemProperties", Some(Value::Object(&system_properties))),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    overwritten(own, &merged, metadata)
}
