//! A proposal as TOML, with what each line rests on.

use uuid::Uuid;

use super::addresses::Allowed;
use super::history::{AppKey, Sight, at};
use super::propose::{Entry, HeldBack, List, Proposal};
use crate::wording::{counted, remark, toml_string};

/// The proposal's text. `definitions` are the lines of `[ranges]` that it uses.
pub fn write(proposal: &Proposal, definitions: &[String]) -> String {
    let mut out = Text::default();
    header(&mut out, proposal);
    out.line("version = 1");
    if !proposal.tenants.is_empty() {
        let tenants = proposal
            .tenants
            .iter()
            .map(|id| toml_string(&id.to_string()));
        out.line(&format!("tenants = [{}]", join(tenants)));
    }
    out.line("");
    out.line("[defaults]");
    out.line("unknown_app = \"record\" # until every application is listed; then \"alert\"");
    if !definitions.is_empty() {
        out.line("");
        out.line("[ranges]");
        for definition in definitions {
            out.line(definition);
        }
    }
    for entry in &proposal.entries {
        out.line("");
        out.append(&block(entry, proposal));
    }
    out.0
}

/// The text of one entry, commented out where it is held back.
pub(super) fn block(entry: &Entry, proposal: &Proposal) -> String {
    let mut out = Text::default();
    for said in remarks(entry, proposal) {
        out.line(&format!("# {said}"));
    }
    let body = body(entry, proposal);
    match entry.held_back {
        None => out.append(&body),
        Some(_) => {
            for line in body.lines() {
                out.line(format!("# {line}").trim_end());
            }
        }
    }
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn append(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

fn header(out: &mut Text, proposal: &Proposal) {
    let entries = &proposal.entries;
    let held_back = entries.iter().filter(|entry| entry.held_back.is_some());
    let held_back = held_back.count();
    out.line("# A proposal: read it, and change what you know better, before you trust it.");
    if let Some(all) = &proposal.all {
        out.line(&format!(
            "# Learnt from {} of {}, {}.",
            counted(all.count, "sign-in"),
            counted(entries.len() as u64, "application"),
            span(all)
        ));
    }
    if held_back > 0 {
        let are = if held_back == 1 { "is" } else { "are" };
        out.line(&format!(
            "# {held_back} of them {are} commented out, with the reason."
        ));
    }
    if proposal.microsoft > 0 {
        out.line(&format!(
            "# Not listed: {} of Microsoft's own applications, which are left to `microsoft_owned`.",
            counted(proposal.microsoft, "sign-in")
        ));
    }
    out.line("# Failed sign-ins taught nothing: where an application only ever failed from, it is not allowed from.");
    out.line("");
}

/// What is to be known of an entry before its text.
fn remarks(entry: &Entry, proposal: &Proposal) -> Vec<String> {
    let mut remarks = Vec::new();
    let name = remark(&entry.name);
    let failures = match entry.failures {
        0 => String::new(),
        count => format!("; {}", counted(count, "failure")),
    };
    match &entry.successes {
        None => remarks.push(format!("{name}: it never signed in{failures}")),
        Some(all) => remarks.push(format!(
            "{name}: {}, {}{failures}",
            counted(all.count, "sign-in"),
            span(all)
        )),
    }
    if !entry.other_names.is_empty() {
        let names = entry.other_names.iter().take(5).map(|name| remark(name));
        remarks.push(format!("also named {}", join(names)));
    }
    if entry.service_principals.len() > 1 {
        let count = entry.service_principals.len() as u64;
        remarks.push(format!(
            "{} share this app id",
            counted(count, "service principal")
        ));
    }
    let options = &proposal.options;
    match entry.held_back {
        Some(HeldBack::TooLittle) => remarks.push(format!(
            "too little to learn from: it takes {} on {}",
            counted(options.min_successes, "sign-in"),
            counted(u64::from(options.min_days), "day")
        )),
        Some(HeldBack::NoId) => remarks.push(
            "it has no id: an entry by name alone can be fooled by whoever names an application"
                .to_owned(),
        ),
        Some(HeldBack::NothingSteady) => {
            remarks.push("nothing about it is steady: there is no rule to propose".to_owned());
        }
        Some(HeldBack::OfAnother) => remarks
            .push("records without the app id of an application that is listed by it".to_owned()),
        None => remarks.push(confidence(entry)),
    }
    remarks
}

/// In a word and in numbers.
fn confidence(entry: &Entry) -> String {
    let Some(all) = &entry.successes else {
        return "confidence: none".to_owned();
    };
    let addresses = counted(entry.addresses as u64, "address");
    match &entry.ips {
        List::Steady(..) if entry.addresses == 1 => {
            let word = if all.days() >= 14 { "high" } else { "medium" };
            format!("confidence: {word}. One address alone, on {}", days(all))
        }
        List::Steady(_, newest) => {
            let word = match all.days() >= 21 && all.count >= 100 {
                true => "high",
                false => "medium",
            };
            format!(
                "confidence: {word}. {addresses} on {}, no new network since {}",
                days(all),
                date(*newest)
            )
        }
        List::Changing { late, newest, .. } => format!(
            "confidence: low. {addresses}, and new networks keep coming: {late} late ones, the last on {}",
            date(*newest)
        ),
        List::TooLong => format!("confidence: low. {addresses}, in too many networks to list"),
        List::Untold(count) => format!(
            "confidence: low. {} told no address",
            counted(*count, "sign-in")
        ),
        List::None => "confidence: medium. It carries no address".to_owned(),
    }
}

fn body(entry: &Entry, proposal: &Proposal) -> String {
    let mut out = Text::default();
    out.line("[[app]]");
    out.line(&format!("name = {}", toml_string(&entry.name)));
    match &entry.key {
        AppKey::AppId(id) => out.line(&format!("app_id = \"{id}\"")),
        AppKey::ServicePrincipal(id) => out.line(&format!("service_principal_id = \"{id}\"")),
        AppKey::Name(name) => out.line(&format!("match = {{ name = {} }}", toml_string(name))),
    }
    // What no log tells: for whoever fills it in.
    if entry.held_back.is_none() {
        out.line("# owner = \"\"");
        out.line("# purpose = \"\"");
        out.line("# secret = \"\"");
    }
    write_ips(&mut out, entry);
    write_list(&mut out, "allow.places", &entry.places, "place", |place| {
        toml_string(place)
    });
    if !entry.cities.is_empty() && entry.places != List::None {
        let cities = entry.cities.iter().map(|city| remark(city));
        out.line(&format!(
            "# seen in {}",
            cities.collect::<Vec<_>>().join("; ")
        ));
    }
    write_resources(&mut out, entry);
    write_list(
        &mut out,
        "allow.credential_types",
        &entry.credential_types,
        "kind of credential",
        |word| toml_string(word),
    );
    let for_good = proposal.options.credentials && entry.tells_credentials;
    write_credentials(&mut out, entry, for_good);
    out.0
}

fn write_ips(out: &mut Text, entry: &Entry) {
    let lines = |out: &mut Text, list: &[Allowed], before: &str| {
        out.line(&format!("{before}allow.ips = ["));
        for allowed in list {
            let network = format!("{},", toml_string(&allowed.text()));
            let seen = match allowed.addresses() {
                1 => sight(&allowed.sight()),
                count => format!("{count} addresses, {}", sight(&allowed.sight())),
            };
            out.line(&format!("{before}    {network:<22} # {seen}"));
        }
        out.line(&format!("{before}]"));
    };
    match &entry.ips {
        List::Steady(ranges, _) => lines(out, ranges, ""),
        List::Changing { values, .. } => {
            out.line("# still changing: would be out of date soon");
            lines(out, values, "# ");
        }
        List::TooLong | List::Untold(_) | List::None => {}
    }
}

fn write_list<T>(
    out: &mut Text,
    key: &str,
    list: &List<T>,
    what: &str,
    show: impl Fn(&T) -> String,
) {
    match list {
        List::Steady(values, _) => {
            out.line(&format!("{key} = [{}]", join(values.iter().map(show))));
        }
        List::Changing { values, newest, .. } => {
            out.line(&format!(
                "# {key} = [{}] # still changing, the last one new on {}",
                join(values.iter().map(show)),
                date(*newest)
            ));
        }
        List::Untold(count) => out.line(&format!(
            "# no {key}: {} told no {what}",
            counted(*count, "sign-in")
        )),
        List::TooLong | List::None => {}
    }
}

fn write_resources(out: &mut Text, entry: &Entry) {
    let (values, before) = match &entry.resources {
        List::Steady(values, _) => (values, ""),
        List::Changing { values, .. } => {
            out.line("# still changing: would be out of date soon");
            (values, "# ")
        }
        other => return write_list(out, "allow.resources", other, "resource", |_| String::new()),
    };
    out.line(&format!("{before}allow.resources = ["));
    for (api, seen) in values {
        let (value, name) = match &api.id {
            Some(id) => (id.to_string(), remark(&api.name)),
            None => (api.name.clone(), String::new()),
        };
        let name = if name.is_empty() {
            name
        } else {
            format!("{name}: ")
        };
        out.line(&format!(
            "{before}    {}, # {name}{}",
            toml_string(&value),
            sight(seen)
        ));
    }
    out.line(&format!("{before}]"));
}

fn write_credentials(out: &mut Text, entry: &Entry, for_good: bool) {
    if entry.credentials.is_empty() {
        return;
    }
    let mut known: Vec<Uuid> = Vec::new();
    let before = if for_good { "" } else { "# " };
    if !for_good {
        out.line("# credentials seen; once one is listed, every other is a finding");
    }
    for (id, word, seen) in &entry.credentials {
        // One key with two kinds is listed once.
        if known.contains(id) {
            continue;
        }
        known.push(*id);
        let word = if word.is_empty() {
            ""
        } else {
            &format!("{word}, ")
        };
        out.line(&format!("{before}[[app.credential]]"));
        out.line(&format!(
            "{before}key_id = \"{id}\" # {word}{}",
            sight(seen)
        ));
    }
}

fn join(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(", ")
}

fn days(sight: &Sight) -> String {
    counted(u64::from(sight.days()), "day")
}

fn date(seconds: i64) -> String {
    at(seconds).utc().format("%Y-%m-%d").to_string()
}

/// On how many days, from when to when.
fn span(sight: &Sight) -> String {
    let (first, last) = (date(sight.first), date(sight.last));
    match first == last {
        true => format!("on {first}"),
        false => format!("on {}, {first} to {last}", days(sight)),
    }
}

/// How often, on how many days, when last.
pub(super) fn sight(sight: &Sight) -> String {
    format!(
        "{} on {}, last {}",
        counted(sight.count, "sign-in"),
        days(sight),
        date(sight.last)
    )
}
