//! Criterion benchmarks of the steps of lookups and refreshes: parse, choose, look up,
//! write. `make bench` compares the whole command and the plugin with other tools.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark ends where its input is wrong"
)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nix_oci_hashes::images;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::reference::Tag;
use nix_oci_hashes::refresh::{Options, plan};
use nix_oci_hashes::table::pending::PendingTags;
use nix_oci_hashes::table::{LazyTable, Pins, Table};

#[path = "support/tables.rs"]
mod tables;

/// The numbers of tags in the measured tables.
const SIZES: [usize; 3] = [240, 10_000, 100_000];

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.sample_size(10);
    for tags in SIZES {
        let text = tables::text(tags);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{tags} tags"), |b| {
            b.iter(|| Table::parse(black_box(text.as_bytes()), "digests.json").unwrap());
        });
    }
    group.finish();
    c.bench_function("parse/reference", |b| {
        b.iter(|| Query::from_reference(black_box("docker.io/nextcloud:34")).unwrap());
    });
}

fn look_up(c: &mut Criterion) {
    for tags in SIZES {
        let text = tables::text(tags);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let first = Query::from_reference(&tables::reference(tags / 2)).unwrap();
        c.bench_function(&format!("look up/first of {tags}, in a file"), |b| {
            b.iter_batched(
                || LazyTable::from_file(file.try_clone().unwrap(), "digests.json").unwrap(),
                |table| first.answer_lazily(&table).unwrap().unwrap(),
                BatchSize::SmallInput,
            );
        });
        let queries: Vec<Query> = (0..tags)
            .map(|i| Query::from_reference(&tables::reference(i)).unwrap())
            .collect();
        for (place, table) in [
            (
                "memory",
                LazyTable::from_text(text.clone().into_bytes(), "digests.json"),
            ),
            (
                "a file",
                LazyTable::from_file(file.try_clone().unwrap(), "digests.json").unwrap(),
            ),
        ] {
            let mut next = queries.iter().cycle();
            c.bench_function(&format!("look up/next of {tags}, in {place}"), |b| {
                b.iter(|| next.next().unwrap().answer_lazily(&table).unwrap().unwrap());
            });
        }
    }
    let table = LazyTable::built_in();
    let newest = [("image", "docker.io/nextcloud"), ("version", ">=33")];
    let newest = Query::from_attributes(newest).unwrap();
    c.bench_function("look up/newest of an image", |b| {
        b.iter(|| newest.answer_lazily(&table).unwrap().unwrap());
    });
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    group.sample_size(10);
    for tags in SIZES {
        let table = Table::parse(tables::text(tags).as_bytes(), "digests.json").unwrap();
        group.throughput(Throughput::Elements(tags as u64));
        group.bench_function(format!("{tags} tags"), |b| b.iter(|| table.to_json()));
    }
    group.finish();
}

fn choose(c: &mut Criterion) {
    let tracked = images::parse(br#"[{ "image": "docker.io/a" }]"#, "images.json").unwrap();
    for count in [100, 10_000] {
        let listed: BTreeSet<Tag> = (0..count)
            .map(|i| {
                format!("{}.{}.{}", i / 100, i / 10 % 10, i % 10)
                    .parse()
                    .unwrap()
            })
            .collect();
        c.bench_function(&format!("choose/among {count} tags"), |b| {
            b.iter(|| {
                plan(
                    &tracked[0],
                    &Pins::new(),
                    &PendingTags::new(),
                    black_box(&listed),
                    &Options::default(),
                )
            });
        });
    }
}

criterion_group!(core, parse, look_up, write, choose);
criterion_main!(core);
