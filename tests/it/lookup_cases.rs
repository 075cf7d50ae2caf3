//! Every case of `tests/cases/lookup.json`, in the Rust library.
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::table::Table;
use serde_json::Value;

fn answer(argument: &Value, table: &Table) -> Result<String, String> {
    let query = match argument {
        Value::String(reference) => Query::from_reference(reference),
        Value::Object(set) => Query::from_attributes(
            set.iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
        ),
        other => panic!("a case has a string or a set as argument, not {other}"),
    };
    let reference = query.map_err(|error| error.to_string())?.answer(table);
    reference
        .map(|reference| reference.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn every_lookup_case_holds() {
    let file: Value = serde_json::from_str(include_str!("../cases/lookup.json")).unwrap();
    let table = Table::parse(file["digests"].to_string().as_bytes(), "lookup.json").unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 150);
    let mut wrong = Vec::new();
    for case in cases {
        let expected = match (&case["answer"], &case["error"]) {
            (Value::String(answer), Value::Null) => Ok(answer.clone()),
            (Value::Null, Value::String(error)) => Err(error.clone()),
            _ => panic!("a case has an answer or an error: {case}"),
        };
        let got = answer(&case["argument"], &table);
        if got != expected {
            wrong.push(format!(
                "{}\n  expected {expected:?}\n  got      {got:?}",
                case["name"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
