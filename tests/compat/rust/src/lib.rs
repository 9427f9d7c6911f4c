//! What the Rust drivers share: one line of output per feature, see ../../README.md.
use std::fmt::Debug;
use std::future::Future;

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The broker's address and the prefix of our topics and groups.
pub fn arguments() -> (String, String) {
    let mut words = std::env::args().skip(1);
    (words.next().expect("BOOTSTRAP"), words.next().expect("PREFIX"))
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
