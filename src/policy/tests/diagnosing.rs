//! What is wrong with a policy, where, and how it is shown.

use super::super::{Code, Level, MissingInclude, Source, compile, includes};
use super::{SAMPLE, at, codes, compile_text};

const MISTAKES: &str = include_str!("mistakes.toml");

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.into(),
        text: text.into(),
    }
}

#[test]
fn the_sample_has_nothing_wrong() {
    let now = at("2026-11-24T00:00:00Z");
    let compilation = compile(&[source("policy.toml", SAMPLE)], Some(now), &[]);
    assert_eq!(compilation.diagnostics.render_text(false), "");
    let policy = compilation.policy.unwrap();
    let results = policy.run_tests(now);
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result.passed, "{result:?}");
    }
    assert_eq!((policy.entry_count(), policy.range_count()), (1, 4));
    let app = &policy.apps[0];
    assert_eq!(app.line, 37);
    assert_eq!(
        app.usual_addresses,
        [
            "77.56.9.9",
            "198.51.100.10-198.51.100.20",
            "77.56.0.0/24",
            "2001:db8:77::/48"
        ]
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let compilation = compile_text(MISTAKES);
    assert!(compilation.policy.is_none());
    insta::assert_snapshot!("mistakes_text", compilation.diagnostics.render_text(false));
    insta::assert_snapshot!("mistakes_json", compilation.diagnostics.render_json());
    // Each excerpt is headed by the position that the diagnostic itself gives.
    let text = compilation.diagnostics.render_text(false);
    for item in &compilation.diagnostics {
        let head = format!("--> {}:{}:{}\n", item.file, item.line, item.column);
        assert!(text.contains(&head), "{head}");
    }
    for secret in [
        "XXXXsecretXXXX",
        "whsec_MfKQ9",
        "abC8Q~dEf",
        "hooks.example.com",
    ] {
        assert!(!text.contains(secret), "{secret}");
        assert!(!format!("{:?}", compilation.diagnostics).contains(secret));
        assert!(!compilation.diagnostics.render_json().contains(secret));
    }
    assert!(
        compilation
            .diagnostics
            .render_text(true)
            .contains("\u{1b}[")
    );
}

#[test]
fn columns_are_right_after_marks_tabs_and_wide_letters() {
    let text = "\u{feff}version = 2\r\n[ranges]\r\n\"ü\" = [\t\"é\", '10.0.0.1/8']\r\n";
    let expected = [
        "1:11 unsupported-version",
        "3:1 unused-set",
        "3:9 invalid-range",
        "3:14 host-bits",
    ];
    assert_eq!(codes(text), expected);
    let compilation = compile_text(text);
    let shown = compilation.diagnostics.render_text(false);
    for head in [
        "policy.toml:1:11\n",
        "policy.toml:3:9\n",
        "policy.toml:3:14\n",
    ] {
        assert!(shown.contains(head), "{shown}");
    }
    let last = compilation.diagnostics.iter().last().unwrap();
    assert_eq!((last.end_line, last.end_column), (3, 26));
}

/// One mistake each, after `version = 1`, which is line 1.
#[test]
fn one_mistake_each() {
    let guid = "00000000-1111-2222-3333-444444444444";
    let app = format!("[[app]]\nname = \"a\"\napp_id = \"{guid}\"\n");
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        ("version = 1\n", &["2:1 syntax"]),
        ("x = [1,\n", &["2:8 syntax"]),
        ("[defaults]\nunknown_app = \"page\"", &["3:15 unknown-word"]),
        (
            "[defaults]\nunknown_ip = \"record\"",
            &["3:14 unknown-word"],
        ),
        ("[defaults]\nmerge = \"-1h\"", &["3:9 invalid-duration"]),
        (
            "[defaults]\nmax_event_age = \"0s\"",
            &["3:17 invalid-duration"],
        ),
        ("[defaults]\nmax_event_age = 7", &["3:17 wrong-type"]),
        (
            "[defaults]\nmax_alerts_per_hour = 99999999999",
            &["3:23 invalid-number"],
        ),
        ("[defaults]\nnotify = [\"soc\"]", &["3:11 unknown-sink"]),
        ("[defaults]\nnotify = \"soc\"", &["3:10 wrong-type"]),
        ("tenants = []", &["2:11 allows-nothing"]),
        ("defaults = 1", &["2:12 wrong-type"]),
        ("ranges = []", &["2:10 wrong-type"]),
        ("[ranges]\na = [\"@a\"]", &["3:6 set-cycle"]),
        (
            "[ranges]\na = { format = \"plain\" }",
            &["3:1 unused-set", "3:5 missing-key"],
        ),
        (
            "[places]\na = [\"XX\"]",
            &["3:1 unused-set", "3:6 unknown-country"],
        ),
        (
            "[places]\na = [\"ch/zurich/\"]",
            &["3:1 unused-set", "3:6 invalid-place"],
        ),
        ("[sinks]\na = 1", &["3:5 wrong-type"]),
        ("[sinks.a]\nurl = \"env:A\"", &["2:1 missing-key"]),
        ("[sinks.a]\ntype = \"webhook\"", &["2:1 missing-key"]),
        (
            "[sinks.a]\ntype = \"webhok\"\nurl = \"env:A\"",
            &["3:8 unknown-word"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"env:1A\"",
            &["4:7 invalid-reference"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"ftp://a\"",
            &["4:7 invalid-reference"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"https://a/b\"",
            &["4:7 literal-secret"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"http://a/b\"",
            &["4:7 insecure-url", "4:7 literal-secret"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\ninsecure = true",
            &[],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nurl = \"env:A\"\nrouting_key = \"x\"",
            &["5:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"webhook\"\nformat = \"ocsf\"\nurl = \"env:A\"",
            &[],
        ),
        (
            "[sinks.a]\ntype = \"teams\"\nformat = \"ocsf\"\nurl = \"env:A\"",
            &["4:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"slack\"\nsecret = \"env:A\"",
            &["2:1 missing-key", "4:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"pagerduty\"\nrouting_key = \"abc\"",
            &["4:15 literal-secret"],
        ),
        ("[sinks.a]\ntype = \"pagerduty\"", &["2:1 missing-key"]),
        (
            "[sinks.a]\ntype = \"pagerduty\"\nrouting_key = \"env:A\"\nurl = \"env:B\"",
            &[],
        ),
        (
            "[sinks.a]\ntype = \"splunk\"\nurl = \"env:A\"\ntoken = \"env:B\"\nindex = \"main\"\nsource = \"s\"\nsourcetype = \"t\"",
            &[],
        ),
        (
            "[sinks.a]\ntype = \"splunk\"\ntoken = \"env:B\"\nindexes = \"main\"",
            &["2:1 missing-key", "5:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"sentinel\"\nendpoint = \"https://a.example\"\nrule_id = \"dcr-1\"\nclient_id = \"c\"",
            &[],
        ),
        (
            "[sinks.a]\ntype = \"sentinel\"\nendpoint = \"http://a.example\"\nrule_id = \"r\"\nstream = \"Spwatch_CL\"",
            &[
                "4:12 invalid-reference",
                "5:11 invalid-setting",
                "6:10 invalid-setting",
            ],
        ),
        (
            "[sinks.a]\ntype = \"sentinel\"\nurl = \"env:A\"\nendpoint = \"env:E\"\nrule_id = \"env:R\"\nsecret = \"env:S\"\ntenant_id = \"t\"",
            &["2:1 missing-key", "4:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"sentinel-incident\"\nworkspace = \"soc\"\nauthority = \"https://login.example\"\ntenant_id = \"t\"",
            &["2:1 missing-key", "4:13 invalid-setting", "5:1 unknown-key"],
        ),
        (
            "[sinks.a]\ntype = \"sentinel-incident\"\nworkspace = \"/subscriptions/{guid}/resourcegroups/g/providers/Microsoft.OperationalInsights/workspaces/w\"\nurl = \"http://127.0.0.1:1\"\nauthority = \"http://127.0.0.1:2\"\ninsecure = true",
            &[],
        ),
        ("app = 1", &["2:7 wrong-type"]),
        (
            "[app]\nname = \"a\"",
            &["2:1 missing-selector", "2:1 no-allow", "2:2 wrong-type"],
        ),
        (
            "[[app]]",
            &["2:1 missing-key", "2:1 missing-selector", "2:1 no-allow"],
        ),
        (
            "[[app]]\nname = \" \"\nmatch = {}",
            &["2:1 no-allow", "3:8 empty", "4:9 missing-selector"],
        ),
        (
            "[[app]]\nname = \"a\"\nmatch = { name = \"b\" }\nallow.ips = [\"::1\"]",
            &["4:18 name-only"],
        ),
        ("{app}", &["2:1 no-allow"]),
        ("{app}allow.ips = []", &["5:13 allows-nothing"]),
        ("{app}allow.ipz = []", &["5:7 unknown-key"]),
        (
            "{app}allow.places = []\nallow.resources = []\nallow.credential_types = []",
            &[
                "5:16 allows-nothing",
                "6:19 allows-nothing",
                "7:26 allows-nothing",
            ],
        ),
        (
            "{app}allow.ips = [\"10.0.0.1\"]\ndeny.ips = [\"10.0.0.0/8\"]",
            &["6:12 deny-covers-allow"],
        ),
        (
            "{app}allow.places = [\"CH/Zug\"]\ndeny.places = [\"CH\"]",
            &["6:15 deny-covers-allow"],
        ),
        ("{app}allow.ips = [\"0.0.0.0/7\"]", &["5:14 wide-range"]),
        (
            "{app}allow.ips = [\"10.0.0.0-12.0.0.0\"]",
            &["5:14 wide-range"],
        ),
        ("{app}allow.ips = [\"2000::/15\"]", &["5:14 wide-range"]),
        (
            "{app}allow.ips = [\"10.0.0.1-::2\"]",
            &["5:14 invalid-range"],
        ),
        ("{app}allow.ips = [\"@x\"]", &["5:14 unknown-set"]),
        ("{app}allow.resources = [\"\"]", &["5:20 empty"]),
        (
            "{app}allow.ips = [\"::1\"]\nnotify = [\"https://hook/x\"]",
            &["6:11 unknown-sink"],
        ),
        (
            "{app}allow.ips = [\"::1\"]\nlabels = { a = 1 }",
            &["6:16 wrong-type"],
        ),
        (
            "{app}allow.ips = [\"::1\"]\nseverity = \"High\"",
            &["6:12 unknown-word"],
        ),
        (
            "{app}credential = [{ key_id = \"x\" }]",
            &["5:26 invalid-guid"],
        ),
        ("{app}[[app.credential]]", &["5:1 missing-key"]),
        (
            "{app}[[app.credential]]\nkey_id = \"{guid}\"\n[[app.credential]]\nkey_id = \"{guid}\"",
            &["8:10 duplicate"],
        ),
        (
            "{app}[[app.credential]]\nkey_id = \"{guid}\"\nexpires = 2027-03-01T00:00:00Z",
            &["7:11 invalid-time"],
        ),
        (
            "{app}allow.ips = [\"10.0.0.0/8\"]\n[[app.exception]]\nallow.ips = [\"10.0.0.1\"]\nuntil = 2026-01-01T00:00:00Z\nreason = \"r\"",
            &["7:13 exception-shadowed"],
        ),
        (
            "{app}allow.ips = [\"10.0.0.0/8\"]\n[[app.exception]]\nallow.places = [\"CH\"]\nuntil = 2026-01-01T00:00:00+01:00\nreason = \"r\"",
            &["7:16 exception-shadowed"],
        ),
        (
            "{app}allow.ips = [\"10.0.0.0/8\"]\n[[app.exception]]\nuntil = 2026-01-01",
            &["6:1 missing-key", "6:1 missing-key", "7:9 invalid-time"],
        ),
        (
            "{app}allow.ips = [\"10.0.0.0/8\"]\n[[app.exception]]\nallow = {}\nuntil = \"2026-01-01T00:00:00Z\"\nreason = \"\"",
            &["6:1 missing-key", "8:9 wrong-type", "9:10 empty"],
        ),
        (
            "{app}allow.ips = [\"::1\"]\n[[app]]\nname = \"b\"\napp_id = \"{guid}\"\nallow.ips = [\"::1\"]",
            &["8:10 duplicate-selector"],
        ),
        (
            "{app}allow.ips = [\"::1\"]\n[[app]]\nname = \"a\"\napp_id = \"{guid}\"\nmatch = { name = \"b\" }\nallow.ips = [\"::1\"]",
            &["7:8 duplicate"],
        ),
        ("[[test]]", &["2:1 missing-key"; 3]),
        (
            "[[test]]\nname = \"a\"\nsign_in = {}\nexpect = \"denied\"",
            &["4:11 missing-key", "5:10 unknown-word"],
        ),
        (
            "[[test]]\nname = \"a\"\nsign_in = { name = \"x\", place = \"XX\", kind = \"x\", colour = 1 }\nexpect = \"violation\"\nreasons = [\"ip\"]",
            &[
                "4:33 unknown-country",
                "4:46 unknown-word",
                "4:51 unknown-key",
                "6:12 unknown-reason",
            ],
        ),
    ];
    let mut wrong = String::new();
    for (text, expected) in table {
        let text = text.replace("{app}", &app).replace("{guid}", guid);
        let got = codes(&format!("version = 1\n{text}\n"));
        if got != *expected {
            wrong.push_str(&format!("{text}\n  got {got:?}\n  not {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn suggests_what_was_meant() {
    let app = "version = 1\n[ranges]\nzurich = [\"10.0.0.0/8\"]\n[sinks.soc]\ntype = \"webhook\"\nurl = \"env:A\"\n[[app]]\nname = \"a\"\napp_id = \"00000000-1111-2222-3333-444444444444\"\n";
    let table = [
        ("allow.ips = [\"@zurch\"]", "did you mean \"@zurich\"?"),
        ("allow.places = [\"UK\"]", "did you mean \"GB\"?"),
        ("allow.places = [\"Switzerland\"]", "did you mean \"CH\"?"),
        ("notify = [\"sok\"]", "did you mean \"soc\"?"),
        ("alow.ips = []", "did you mean `allow`?"),
        ("app-id = \"x\"", "did you mean `app_id`?"),
        ("severity = \"hihg\"", "did you mean \"high\"?"),
        (
            "allow.credential_types = [\"certificates\"]",
            "did you mean \"certificate\"?",
        ),
    ];
    for (line, help) in table {
        let compilation = compile_text(&format!("{app}{line}\n"));
        let helps: Vec<_> = compilation
            .diagnostics
            .iter()
            .filter_map(|item| item.help.as_deref())
            .collect();
        assert!(
            helps.iter().any(|given| given.contains(help)),
            "{line}: {helps:?}"
        );
    }
}

#[test]
fn time_decides_what_is_over() {
    let text = format!(
        "version = 1\n[[app]]\nname = \"a\"\napp_id = \"{}\"\nallow.ips = [\"::1\"]\n\
         [[app.credential]]\nkey_id = \"{}\"\nexpires = 2027-03-01\n\
         [[app.exception]]\nallow.ips = [\"::2\"]\nuntil = 2026-12-31T00:00:00Z\nreason = \"r\"\n",
        super::APP,
        super::APP
    );
    let sources = [source("policy.toml", &text)];
    let table: [(Option<&str>, &[Code]); 5] = [
        (None, &[]),
        (Some("2026-12-30T23:59:59Z"), &[]),
        (Some("2026-12-31T00:00:00Z"), &[Code::ExceptionExpired]),
        (Some("2027-03-01T23:59:59Z"), &[Code::ExceptionExpired]),
        (
            Some("2027-03-02T00:00:00Z"),
            &[Code::CredentialExpired, Code::ExceptionExpired],
        ),
    ];
    for (now, expected) in table {
        let compilation = compile(&sources, now.map(at), &[]);
        assert!(compilation.policy.is_some());
        let codes: Vec<_> = compilation
            .diagnostics
            .iter()
            .map(|item| item.code)
            .collect();
        assert_eq!(codes, expected, "{now:?}");
    }
}

#[test]
fn files_form_one_policy() {
    let root = source(
        "policy.toml",
        "version = 1\ninclude = [\"apps/*.toml\", \"gone.toml\"]\n[ranges]\nhome = [\"10.0.0.0/8\"]\n",
    );
    let good = source(
        "apps/a.toml",
        "[[app]]\nname = \"a\"\napp_id = \"00000000-1111-2222-3333-444444444444\"\nallow.ips = [\"@home\"]\n",
    );
    let compilation = compile(&[root.clone(), good.clone()], None, &[]);
    let policy = compilation.policy.unwrap();
    assert!(compilation.diagnostics.is_empty());
    assert_eq!(
        (&*policy.apps[0].file, policy.apps[0].line),
        ("apps/a.toml", 1)
    );

    let bad = source(
        "apps/b.toml",
        "version = 1\ninclude = []\ntenants = []\n[defaults]\n[ranges]\nhome = []\n[[app]]\nname = \"a\"\napp_id = \"00000000-1111-2222-3333-444444444444\"\nallow.ips = [\"@elsewhere\"]\n",
    );
    let asked = includes(&root);
    assert_eq!(
        asked
            .iter()
            .map(|include| (include.pattern.as_str(), include.line, include.column))
            .collect::<Vec<_>>(),
        [("apps/*.toml", 2, 12), ("gone.toml", 2, 27)]
    );
    let missing = MissingInclude {
        include: asked[1].clone(),
        problem: "matches no file".into(),
    };
    let compilation = compile(&[root, good, bad], None, &[missing]);
    assert!(compilation.policy.is_none());
    insta::assert_snapshot!("several_files", compilation.diagnostics.render_text(false));
}

#[test]
fn consequences_of_syntax_errors_are_not_reported() {
    // The header of [ranges] is broken: that @home is unknown is no second mistake.
    let text = "version = 1\n[ranges\nhome = [\"10.0.0.0/8\"]\n[[app]]\nname = \"a\"\napp_id = \"00000000-1111-2222-3333-444444444444\"\nallow.ips = [\"@home\"]\nseverity = \"hihg\"\n";
    let got = codes(text);
    assert!(got.iter().any(|item| item == "2:8 syntax"), "{got:?}");
    assert!(
        got.iter().any(|item| item == "8:12 unknown-word"),
        "{got:?}"
    );
    assert!(
        !got.iter().any(|item| item.contains("unknown-set")),
        "{got:?}"
    );
}

#[test]
fn an_empty_policy_and_none_at_all_are_refused() {
    assert_eq!(codes(""), ["1:1 missing-key"]);
    let none = compile(&[], None, &[]);
    assert!(none.policy.is_none());
    assert_eq!(none.diagnostics.error_count(), 1);
    assert!(
        none.diagnostics
            .render_text(false)
            .contains("there is no policy file")
    );
}

#[test]
fn warnings_do_not_refuse() {
    let compilation = compile_text("version = 1\n[ranges]\na = [\"10.0.0.1/8\"]\n");
    assert!(compilation.policy.is_some());
    assert!(
        compilation
            .diagnostics
            .iter()
            .all(|item| item.level == Level::Warning)
    );
    assert_eq!(compilation.diagnostics.warning_count(), 2);
}

#[test]
fn secrets_are_shown_nowhere() {
    let secret = "s3cr3tV4lu3Xy9Zq";
    let table = [
        format!("[sinks.a]\ntype = \"webhook\"\nurl = \"https://a/{secret}\""),
        format!("[sinks.a]\ntype = \"slack\"\nsecret = \"{secret}\""),
        format!("[sinks.a]\ntype = \"slack\"\ntoken = \"{secret}\""),
        format!("[sinks.a]\ntype = \"webhook\"\nurl = \"env:A\"\npassword = \"{secret}\""),
        format!(
            "[sinks.a]\ntype = \"webhook\"\nurl = \"env:A\"\nheaders.Authorization = \"{secret}\""
        ),
        format!("[sinks.a]\ntype = \"webhook\"\nurl = [\"{secret}\"]"),
        format!("[sinks.a]\ntype = \"webhook\"\nurl = \"{secret}\""),
        format!("[sinks.a]\ntype = \"webhook\"\nurl = \"env:{secret}-\""),
        format!("[sinks.a]\ntype = \"webhook\"\nsecret = {secret}"),
        format!("[sinks.a]\ntype = \"webhook\"\nsecret \"{secret}\""),
        format!("[sinks.a]\ntype = \"webhook\"\nsecret = \"{secret}"),
        format!("[sinks]\ntype = \"webhook\"\nsecret = \"{secret}\""),
        format!("[[sinks.a]]\nsecret = \"{secret}\""),
        format!("sinks = [\"{secret}\"]"),
        format!("soc.url = \"{secret}\""),
        format!("[defaults]\nnotify = [\"https://a/{secret}\"]"),
        format!("[[app]]\nname = \"a\"\nsecret = \"{secret}\""),
        format!("[[app]]\nname = \"a\"\nclient_secret = \"{secret}\""),
    ];
    for text in table {
        let compilation = compile_text(&format!("version = 1\n{text}\n"));
        let shown = compilation.diagnostics.render_text(false);
        assert!(!compilation.diagnostics.is_empty(), "{text}");
        assert!(!shown.contains(secret), "{text}\n{shown}");
        assert!(!format!("{compilation:?}").contains(secret), "{text}");
        assert!(
            !compilation.diagnostics.render_json().contains(secret),
            "{text}"
        );
    }
    let debug = format!("{:?}", source("policy.toml", secret));
    assert!(!debug.contains(secret), "{debug}");
}
