//! What one would write first: every record becomes a `serde_json::Value`, and every range of the app is asked in
//! turn. `naive DATA_FOLDER ANSWERS_FILE`.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::time::Instant;

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

struct App {
    ranges: Vec<IpNetwork>,
    countries: Vec<String>,
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn read_policy(path: &str) -> Result<HashMap<String, App>, Box<dyn Error>> {
    let policy: HashMap<String, Value> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let mut apps = HashMap::new();
    for (app_id, entry) in policy {
        let ranges = texts(&entry["ranges"])
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let countries = texts(&entry["countries"]).map(str::to_owned).collect();
        apps.insert(app_id, App { ranges, countries });
    }
    Ok(apps)
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Box<dyn Error>> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("no {key}").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, answers_file] = arguments.as_slice() else {
        return Err("usage: naive DATA_FOLDER ANSWERS_FILE".into());
    };
    let apps = read_policy(&format!("{folder}/policy.json"))?;

    let start = Instant::now();
    let mut answers = String::new();
    let mut records = 0;
    for line in BufReader::new(File::open(format!("{folder}/data.ndjson"))?).lines() {
        let envelope: Value = serde_json::from_str(&line?)?;
        for record in envelope["records"].as_array().into_iter().flatten() {
            records += 1;
            let sign_in = &record["properties"];
            let app = apps
                .get(text(sign_in, "appId")?)
                .ok_or("an app that is not in the policy")?;
            let ip: IpAddr = text(sign_in, "ipAddress")?.parse()?;
            let country = text(&sign_in["location"], "countryOrRegion")?;
            let mut reasons = Vec::new();
            if !app.ranges.iter().any(|range| range.contains(ip)) {
                reasons.push("ip-not-allowed");
            }
            if !app.countries.iter().any(|allowed| allowed == country) {
                reasons.push("place-not-allowed");
            }
            if !reasons.is_empty() {
                answers += &format!("{}\t{}\n", text(sign_in, "id")?, reasons.join(","));
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    fs::write(answers_file, answers)?;
    println!("{}", json!({ "records": records, "seconds": seconds }));
    Ok(())
}
