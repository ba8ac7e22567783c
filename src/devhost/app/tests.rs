use super::super::function_file::{Cardinality, DataType, OutputKind, RetryStrategy, Trigger};
use super::*;

fn settings() -> Settings {
    Settings::from_iter([
        ("SIGNIN_EVENT_HUB_NAME", "signins"),
        ("SIGNIN_CONSUMER_GROUP", "$Default"),
    ])
}

fn app(files: &[(&str, &str)]) -> Result<App, String> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    App::load(root.path(), settings()).map_err(|error| error.to_string())
}

const HOST: &str =
    r#"{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"h"}}}"#;

#[test]
fn the_apps_own_files_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let app = App::load(root, settings()).unwrap();
    assert_eq!(app.command.arguments, ["serve"]);
    assert_eq!(app.function_timeout, Some(Duration::from_secs(300)));
    assert_eq!(app.extensions.max_event_batch_size, 32);
    assert_eq!(app.extensions.queues.max_dequeue_count, 1440);
    assert_eq!(app.extensions.queues.concurrency, 24);
    assert_eq!(
        app.extensions.queues.visibility_timeout,
        Duration::from_secs(60)
    );
    let sign_ins = app.function("SignIns").unwrap();
    let Trigger::EventHub {
        hub,
        consumer_group,
        cardinality,
        ..
    } = &sign_ins.trigger
    else {
        panic!("{:?}", sign_ins.trigger)
    };
    assert_eq!(
        (hub.as_str(), consumer_group.as_str()),
        ("signins", "$Default")
    );
    assert_eq!(*cardinality, Cardinality::Many);
    assert_eq!(sign_ins.data_type, DataType::Binary);
    let retry = sign_ins.retry.as_ref().unwrap();
    assert_eq!(retry.max_retry_count, -1);
    assert_eq!(
        retry.strategy,
        RetryStrategy::ExponentialBackoff {
            minimum: Duration::from_secs(2),
            maximum: Duration::from_secs(300)
        }
    );
    assert_eq!(
        sign_ins.outputs[0].kind,
        OutputKind::Queue("spwatch-alerts".into())
    );
    assert_eq!(
        sign_ins.outputs[1].kind,
        OutputKind::Blob("spwatch-rejected/{rand-guid}.ndjson".into())
    );
    for (name, queue) in [
        ("Deliver", "spwatch-alerts"),
        ("Poisoned", "spwatch-alerts-poison"),
    ] {
        let function = app.function(name).unwrap();
        assert_eq!(
            function.trigger,
            Trigger::Queue {
                queue: queue.into()
            }
        );
        assert_eq!(function.trigger_name, "alert");
    }
}

#[test]
fn the_settings_example_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = Settings::from_file(&root.join("local.settings.json.example")).unwrap();
    assert!(App::load(root, settings.clone()).is_ok());
    assert_eq!(
        settings.lookup("FUNCTIONS_WORKER_RUNTIME").as_deref(),
        Some("custom")
    );
}

#[test]
fn broken_files_are_named_all_at_once() {
    let error = app(&[
        ("host.json", r#"{"version":"1.0","functionTimeout":"5m"}"#),
        ("A/function.json", "{"),
        ("B/function.json", r#"{"bindings":[]}"#),
    ])
    .unwrap_err();
    for part in [
        "host.json: `version` must be \"2.0\"",
        "host.json: `functionTimeout` is \"5m\"",
        "host.json: `customHandler.description` is missing",
        "A/function.json: ",
        "B/function.json: no bindings",
    ] {
        assert!(error.contains(part), "{part} not in {error}");
    }
    assert!(app(&[]).unwrap_err().starts_with("host.json: "));
}

#[test]
fn function_files_are_checked_as_the_host_does() {
    let trigger = r#"{"type":"queueTrigger","direction":"in","name":"alert","queueName":"q"}"#;
    let with = |rest: &str| format!(r#"{{"bindings":[{trigger}{rest}]}}"#);
    let hub = |rest: &str| {
        format!(
            r#"{{"bindings":[{{"type":"eventHubTrigger","direction":"in","name":"e","eventHubName":"h"{rest}}}]"#
        )
    };
    for (name, text, reason) in [
        ("F", with(r#","x""#), "invalid type"),
        ("1F", with(""), "\"1F\" is no function name"),
        ("host", with(""), "\"host\" is no function name"),
        (
            "F",
            with(&format!(",{trigger}").replace("\"alert\"", "\"other\"")),
            "more than one trigger",
        ),
        (
            "F",
            r#"{"bindings":[{"type":"queue","direction":"out","name":"o","queueName":"q"}]}"#
                .into(),
            "no trigger",
        ),
        (
            "F",
            with(r#",{"type":"queue","direction":"out","name":"ALERT","queueName":"q"}"#),
            "\"ALERT\" is used twice",
        ),
        (
            "F",
            with(r#",{"type":"queue","direction":"out","name":"my_out","queueName":"q"}"#),
            "\"my_out\" is no binding name",
        ),
        (
            "F",
            with(r#",{"type":"kafka","direction":"out","name":"o"}"#),
            "binding type \"kafka\" is not known",
        ),
        (
            "F",
            with(r#",{"type":"queue","direction":"in","name":"o","queueName":"q"}"#),
            "`direction` of \"o\"",
        ),
        (
            "F",
            with(r#",{"type":"queue","direction":"out","name":"o"}"#),
            "`queueName` of \"o\" is missing",
        ),
        (
            "F",
            with(r#",{"type":"blob","direction":"out","name":"o","path":"c/{name}"}"#),
            "{name}",
        ),
        (
            "F",
            with(r#",{"type":"blob","direction":"out","name":"o","path":"nofolder"}"#),
            "container/blob",
        ),
        (
            "F",
            hub(r#","dataType":"text""#) + "}",
            "`dataType` of \"e\"",
        ),
        (
            "F",
            hub(r#","cardinality":"few""#) + "}",
            "`cardinality` of \"e\"",
        ),
        (
            "F",
            hub(r#","consumerGroup":"%NO_SUCH_SETTING%""#) + "}",
            "`%NO_SUCH_SETTING%` has no value",
        ),
        (
            "F",
            hub("") + r#","retry":{"strategy":"fixedDelay","maxRetryCount":1}}"#,
            "`retry.delayInterval` is missing",
        ),
        (
            "F",
            hub("")
                + r#","retry":{"strategy":"exponentialBackoff","minimumInterval":"00:00:01","maximumInterval":"00:01:00"}}"#,
            "`retry.maxRetryCount` is missing",
        ),
        (
            "F",
            hub("") + r#","retry":{"strategy":"now","maxRetryCount":1}}"#,
            "`retry.strategy` is \"now\"",
        ),
        (
            "F",
            with("").replace("}]}", r#"}],"scriptFile":"run.sh"}"#),
            "`scriptFile`",
        ),
    ] {
        let file = format!("{name}/function.json");
        let error = app(&[("host.json", HOST), (&file, &text)]).unwrap_err();
        assert!(
            error.contains(reason) && error.contains(&file),
            "{error} lacks {reason}"
        );
    }
}

#[test]
fn time_spans() {
    for (text, seconds) in [
        ("00:05:00", 300.0),
        ("1.00:00:01", 86_401.0),
        ("00:00:00.5", 0.5),
    ] {
        assert_eq!(span("k", text), Ok(Duration::from_secs_f64(seconds)));
    }
    for text in [
        "",
        "5",
        "00:60:00",
        "24:00:00",
        "00:00:60",
        "0:0:0:0",
        "00:00:nan",
    ] {
        assert!(span("k", text).is_err(), "{text}");
    }
}

#[test]
fn settings_replace_names() {
    let settings = Settings::default().with("A", "1");
    assert_eq!(settings.resolve("x%A%y%A%"), Ok("x1y1".into()));
    assert_eq!(settings.resolve("100%"), Ok("100%".into()));
    assert_eq!(settings.resolve("%NO_SUCH_B%"), Err("NO_SUCH_B".into()));
    assert_eq!(settings.expand("a%NO_SUCH_B%b"), "ab");
}
