//! What the Rust drivers share: one line of output per feature, see ../../README.md.
use std::fmt::Debug;
use std::future::Future;

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The broker's address and the prefix of our topics and groups.
pub fn arguments() -> (String, String) {
    let mut words = std::env::args().skip(1);
    (words.next().expect("BOOTSTRAP"), words.next().expect("PREFIX"))
}

/// The version of a crate that this program was built with.
pub fn version(crate_name: &str) -> &'static str {
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
    let after = LOCK.split(&format!("name = \"{crate_name}\"\nversion = \"")).nth(1);
    after.and_then(|text| text.split('"').next()).unwrap_or("unknown")
}

/// Runs one feature; its failure is a line, not the end of the program.
pub async fn feature(name: &str, body: impl Future<Output = Outcome>) {
    match body.await {
        Ok(()) => println!("ok {name}"),
        Err(e) => println!("FAIL {name}: {}", e.to_string().replace('\n', " ")),
    }
}

pub fn equal<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Outcome {
    if got == want {
        return Ok(());
    }
    Err(format!("{what}: got {got:?}, want {want:?}").chars().take(500).collect::<String>().into())
}
