//! digests.json: what is taken is written and taken again, and a lookup that
//! parses what it needs answers as one that has parsed all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::table::{LazyTable, Table};

fuzz_target!(|content: &[u8]| {
    let lazy = LazyTable::from_text(content.to_owned(), "digests.json");
    let Ok(table) = Table::parse(content, "digests.json") else {
        for reference in ["docker.io/a:1", "docker.io/nextcloud:34"] {
            let _ = Query::from_reference(reference)
                .unwrap()
                .answer_lazily(&lazy);
        }
        return;
    };
    let text = table.to_json();
    assert_eq!(
        Table::parse(text.as_bytes(), "digests.json").unwrap(),
        table
    );
    let canonical = LazyTable::from_text(text.into_bytes(), "digests.json");
    for (image, pins) in &table.images {
        for tag in pins
            .keys()
            .map(ToString::to_string)
            .chain(["none".to_owned()])
        {
            let query = Query::from_reference(&format!("{image}:{tag}")).unwrap();
            let answer = query.answer(&table);
            assert_eq!(query.answer_lazily(&lazy).unwrap(), answer);
            assert_eq!(query.answer_lazily(&canonical).unwrap(), answer);
        }
    }
});
