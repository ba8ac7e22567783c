//! What implementations that are not ours say of our requests.

use super::*;

/// The reference implementation of the scheme verifies every format, with the old key and the new.
#[test]
fn standard_webhooks_verifies_our_signature() {
    let now = Timestamp::from(chrono::DateTime::<chrono::Utc>::from(
        std::time::SystemTime::now(),
    ));
    for format in [
        SinkFormat::Spwatch,
        SinkFormat::Cloudevents,
        SinkFormat::Ocsf,
    ] {
        let json = sign_in().to_string();
        let queued = QueuedAlert {
            id: "5b0b3c76.u1",
            json: &json,
        };
        let request = request(&webhook(format), queued, None, now).unwrap();
        let headers: reqwest::header::HeaderMap = request
            .headers
            .iter()
            .map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, value.reveal().parse().unwrap())
            })
            .collect();
        for key in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_aG9zdC10ZXN0cy1zaWduaW5nLWtleS0wMTIzNDU2Nzg=",
        ] {
            let verifier = standardwebhooks::Webhook::new(key).unwrap();
            verifier.verify(&request.body, &headers).unwrap();
            let other = standardwebhooks::Webhook::new("whsec_AAAA").unwrap();
            assert!(other.verify(&request.body, &headers).is_err());
        }
    }
}

/// The CloudEvents project's own SDK reads our event, and finds in it what we put there.
#[test]
fn the_cloudevents_sdk_reads_our_event() {
    use ::cloudevents::AttributesReader as _;
    for alert in [sign_in(), update(), about_itself()] {
        let request = made(&webhook(SinkFormat::Cloudevents), &alert);
        assert_eq!(
            request.header("content-type").unwrap().reveal(),
            "application/cloudevents+json"
        );
        let event: ::cloudevents::Event = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(event.id(), request.header("webhook-id").unwrap().reveal());
        assert_eq!(event.ty(), "io.spwatch.alert.v1");
        assert!(event.source().starts_with("urn:spwatch"));
        assert_eq!(event.time().unwrap().timestamp_millis(), 1_795_514_400_123,);
        match event.data().unwrap() {
            ::cloudevents::Data::Json(data) => assert_eq!(data, &alert),
            other => panic!("{other:?}"),
        }
    }
}

/// Types made from the whole OCSF schema by others: an attribute that they do not know, or know as
/// another type, would not come back. What is required is checked by name.
#[test]
fn the_finding_is_one_of_ocsf() {
    for alert in [sign_in(), update(), about_itself()] {
        let finding = body(&made(&webhook(SinkFormat::Ocsf), &alert));
        let read: ocsf_types::DetectionFinding = serde_json::from_value(finding.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), finding);
        for required in [
            "/activity_id",
            "/category_uid",
            "/class_uid",
            "/severity_id",
            "/time",
            "/type_uid",
            "/metadata/version",
            "/metadata/product/name",
            "/metadata/product/vendor_name",
            "/finding_info/uid",
            "/finding_info/title",
            "/finding_info/analytic/type_id",
        ] {
            assert!(
                finding
                    .pointer(required)
                    .is_some_and(|value| !value.is_null()),
                "{required}"
            );
        }
        let number = |key: &str| finding[key].as_i64().unwrap();
        assert_eq!(
            number("type_uid"),
            number("class_uid") * 100 + number("activity_id")
        );
        for observable in finding["observables"].as_array().into_iter().flatten() {
            assert!(observable["type_id"].is_i64() && observable["name"].is_string());
        }
        for evidence in finding["evidences"].as_array().into_iter().flatten() {
            assert!(evidence.get("actor").is_some());
        }
    }
}
