//! From the start of a process to its first exchange.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use tokio_stream::StreamExt as _;
use wif::NoteCode;
use wif::component::{Component, Instance};
use wif_emulator::Options;

use crate::report::{Number, Unit};
use crate::rig;
use crate::sampler::{Samples, in_turns, nanoseconds};

/// Says at once that it is there.
pub(crate) const NOTHING: &str = "child-nothing";
/// Says that its first exchange was begun.
pub(crate) const READY: &str = "child-ready";

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("token");
    std::fs::write(&file, identity_token())?;
    let options = Options::default();
    // It is only asked for the moment at which it is asked.
    let endpoint = TcpListener::bind("127.0.0.1:0")?;
    let base_url = format!("http://{}", endpoint.local_addr()?);

    let (mut ready, mut nothing, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..41 {
        let mut command = rig::child(NOTHING, &base_url, &options, &file)?;
        let start = Instant::now();
        nothing.push(spoke(command.spawn()?, start)?);
        let mut command = rig::child(READY, &base_url, &options, &file)?;
        let start = Instant::now();
        let mut child = command.spawn()?;
        ready.push(said_something(&mut child, start)?);
        asked.push(sent_something(&endpoint, start)?);
        child.kill()?;
        child.wait()?;
    }
    let nothing = Samples::of(nothing);

    let component = Component::builtin();
    let instantiation = |calls: u32| (0..calls).for_each(|_| drop(Instance::new(component).expect("an instance")));
    let [instantiation] = in_turns(101, 50, [&mut { instantiation }]);

    Ok(vec![
        Number::new("start", "From process start to ready to exchange, configuration discovered", Unit::Nanoseconds)
            .samples(&Samples::of(ready))
            .beside("a process that does nothing", nothing.median())
            .at_most("≤ 5 ms", 5e6),
        Number::new("start.asked", "… to the first byte at a token endpoint on loopback", Unit::Nanoseconds)
            .samples(&Samples::of(asked))
            .remark("Between the two the host reads the platform's certificates, though plain HTTP does not need them."),
        Number::new("start.compiler", "… compilers in the process", Unit::Count).value(compilers()?).at_most("0", 0.0),
        Number::new("start.instance", "An instance of the component", Unit::Nanoseconds)
            .samples(&instantiation)
            .at_most("≤ 100 µs", 1e5),
    ])
}

fn identity_token() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    wif_world::jwt::jwt(&serde_json::json!({
        "iss": "https://issuer.example", "sub": "workload", "aud": "https://api.anthropic.com",
        "jti": "1", "iat": now, "exp": now + 3600,
    }))
}

fn spoke(mut child: Child, start: Instant) -> anyhow::Result<f64> {
    let taken = said_something(&mut child, start)?;
    child.wait()?;
    Ok(taken)
}

fn said_something(child: &mut Child, start: Instant) -> anyhow::Result<f64> {
    let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("the child's output is not read"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let taken = nanoseconds(start.elapsed());
    anyhow::ensure!(!line.is_empty(), "the child ended without a word");
    Ok(taken)
}

fn sent_something(endpoint: &TcpListener, start: Instant) -> anyhow::Result<f64> {
    let (mut stream, _) = endpoint.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.read_exact(&mut [0])?;
    Ok(nanoseconds(start.elapsed()))
}

pub(crate) fn child_nothing() -> anyhow::Result<()> {
    println!("here");
    Ok(())
}

pub(crate) fn child_ready() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let credential = rig::discovered()?;
        let mut changes = credential.changes();
        while let Some(change) = changes.next().await {
            if change.notes.iter().any(|note| note.code == NoteCode::ExchangeStarted) {
                let mut output = std::io::stdout();
                output.write_all(b"ready\n")?;
                output.flush()?;
                break;
            }
        }
        // The parent ends it, once it has seen the request.
        std::future::pending().await
    })
}

/// Whether wasmtime's compiler was linked: the paths of its sources, which panics name, would be in this program.
fn compilers() -> anyhow::Result<f64> {
    let program = std::fs::read(std::env::current_exe()?)?;
    // Put together here, or this very line would be found.
    let holds = |crate_name: [&str; 2]| {
        let path = format!("/{}-{}.", crate_name.map(std::hint::black_box).join("-"), 0);
        program.windows(path.len()).any(|bytes| bytes == path.as_bytes())
    };
    anyhow::ensure!(holds(["cranelift", "entity"]) || holds(["cranelift", "bforest"]), "this program names no sources");
    Ok(f64::from(u8::from(holds(["cranelift", "codegen"]))))
}
