//! The ledger is complete, and every proof that it names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use ternmq_conformance::ledger::{Class, Statement, statements};
use ternmq_conformance::{Version, cases};

/// How many statements the standards have, by class.
const COUNTS: &[(&str, Class, usize)] = &[
    ("5.0", Class::S, 152),
    ("5.0", Class::ClientSeenByBroker, 55),
    ("5.0", Class::Configured, 16),
    ("5.0", Class::Partly, 15),
    ("5.0", Class::WebSocket, 4),
    ("5.0", Class::Client, 9),
    ("3.1.1", Class::S, 82),
    ("3.1.1", Class::ClientSeenByBroker, 39),
    ("3.1.1", Class::Configured, 4),
    ("3.1.1", Class::Partly, 5),
    ("3.1.1", Class::WebSocket, 4),
    ("3.1.1", Class::Client, 7),
];

/// `5.0 MQTT-4.3.3-4`.
fn key(statement: &Statement) -> String {
    format!("{} {}", statement.version, statement.id)
}

#[test]
fn every_statement_is_there_once() {
    let statements = statements();
    let keys: BTreeSet<String> = statements.iter().map(key).collect();
    assert_eq!(keys.len(), statements.len(), "a statement is there twice");
    let mut counts = BTreeMap::new();
    for statement in &statements {
        *counts.entry((statement.version.as_str(), statement.class)).or_insert(0) += 1;
    }
    let expected = COUNTS.iter().map(|(version, class, count)| ((*version, *class), *count));
    assert_eq!(counts, expected.collect::<BTreeMap<_, _>>());
    let of = |version| statements.iter().filter(|it| it.version == version).count();
    assert_eq!((of("5.0"), of("3.1.1")), (251, 141));
}

#[test]
fn what_can_be_tested_is_proved_and_the_rest_says_why_not() {
    for statement in statements() {
        let key = key(&statement);
        let reasons = usize::from(statement.open.is_some())
            + usize::from(statement.not_testable.is_some())
            + usize::from(!statement.proofs.is_empty());
        assert_eq!(reasons, 1, "{key} needs either proofs or one reason why it has none");
        if matches!(statement.class, Class::S | Class::ClientSeenByBroker) {
            assert!(!statement.proofs.is_empty(), "{key} ({}) has no proof", statement.gist);
        }
        for reason in [&statement.open, &statement.not_testable].into_iter().flatten() {
            assert!(!reason.trim().is_empty(), "{key} has an empty reason");
        }
    }
}

#[test]
fn the_examiners_cases_and_the_ledger_say_the_same() {
    let mut claimed = BTreeSet::new();
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name()), "two cases are called {}", case.name());
        assert!(!case.versions().is_empty(), "{} runs for no version", case.name());
        for version in Version::ALL {
            let proves = case.proves(version);
            assert!(
                proves.is_empty() || case.versions().contains(&version),
                "{} proves statements of {version}, for which it does not run",
                case.name()
            );
            for id in proves {
                let claim = format!("{version} {id} conformance::{}", case.name());
                assert!(claimed.insert(claim.clone()), "claimed twice: {claim}");
            }
        }
    }
    let mut written = BTreeSet::new();
    for statement in statements() {
        for proof in statement.proofs.iter().filter(|proof| proof.starts_with("conformance::")) {
            written.insert(format!("{} {proof}", key(&statement)));
        }
    }
    let missing: Vec<_> = claimed.difference(&written).collect();
    let unknown: Vec<_> = written.difference(&claimed).collect();
    assert!(missing.is_empty(), "cases prove what the ledger does not say: {missing:#?}");
    assert!(unknown.is_empty(), "the ledger names proofs that no case gives: {unknown:#?}");
}

#[test]
fn proofs_in_other_crates_exist() {
    for statement in statements() {
        for proof in &statement.proofs {
            assert!(!proof.ends_with("::"), "{} names {proof}", key(&statement));
            if !proof.starts_with("conformance::") {
                assert!(exists(proof), "{} names {proof}, which is not there", key(&statement));
            }
        }
    }
    assert!(exists("conformance::ledger::every_statement_is_there_once"));
    assert!(!exists("conformance::ledger::no_such_test_anywhere"));
    assert!(!exists("no_such_crate::ledger::every_statement_is_there_once"));
}

/// Whether a test `crate::module::name` is in the sources of `ternmq-crate`: the function's name
/// in a file below a path that ends with the module's.
fn exists(proof: &str) -> bool {
    let parts: Vec<&str> = proof.split("::").collect();
    let [krate, modules @ .., name] = parts.as_slice() else { return false };
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../ternmq-{krate}"));
    let wanted = format!("fn {name}(");
    let module_file = modules.last().map(|module| (format!("{module}.rs"), *module));
    ["src", "tests"].iter().flat_map(|folder| sources(&home.join(folder))).any(|file| {
        let in_module = module_file.as_ref().is_none_or(|(file_name, folder)| {
            file.ends_with(file_name) || file.components().any(|part| part.as_os_str() == *folder)
        });
        in_module && fs::read_to_string(&file).is_ok_and(|text| text.contains(&wanted))
    })
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
