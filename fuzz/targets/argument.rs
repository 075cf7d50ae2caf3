//! The builtin's argument, a name and a value a line: the parsed and the lazy table
//! answer the same.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::table::{LazyTable, Table};

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::built_in().unwrap());
static LAZY: LazyLock<LazyTable> = LazyLock::new(LazyTable::built_in);

fuzz_target!(|text: &str| {
    let attributes = text.lines().filter_map(|line| line.split_once('='));
    let query = match text.split_once('=') {
        Some(_) => Query::from_attributes(attributes),
        None => Query::from_reference(text),
    };
    if let Ok(query) = query {
        let answer = query.answer_lazily(&LAZY).unwrap();
        assert_eq!(answer, query.answer(&TABLE));
        if let Err(miss) = answer {
            let _ = query.registry_query(&LAZY, &miss).unwrap();
            assert!(miss.to_string().len() < 4000);
        }
    }
});
