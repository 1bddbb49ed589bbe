//! The vendor's Python SDK, answering from its cache.

use std::path::Path;
use std::process::Command;

use crate::report::{Number, Unit};
use crate::sampler::Samples;

/// Prints the nanoseconds of one call, for each of some batches.
const PROGRAM: &str = r#"
import json, time, timeit
from anthropic.lib.credentials import AccessToken, TokenCache

def provider(*, force_refresh=False):
    return AccessToken(token="sk-ant-oat01-" + "x" * 95, expires_at=int(time.time()) + 3600)

cache = TokenCache(provider)
cache.get_token()
calls = 20000
print(json.dumps([seconds / calls * 1e9 for seconds in timeit.repeat(cache.get_token, number=calls, repeat=31)]))
"#;

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let number = Number::new("python", "The vendor's Python SDK, from its cache", Unit::Nanoseconds);
    Ok(vec![match samples() {
        Ok(samples) => number.samples(&samples),
        Err(why) => {
            eprintln!("the Python SDK is not measured: {why:#}");
            number.remark("Python, or the packages, could not be had where this was measured.")
        }
    }])
}

fn samples() -> anyhow::Result<Samples> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements.txt");
    let interpreter = wif_test_tools::python(&requirements)?;
    let output = Command::new(interpreter).args(["-I", "-c", PROGRAM]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let nanoseconds: Vec<f64> = serde_json::from_slice(&output.stdout)?;
    anyhow::ensure!(!nanoseconds.is_empty(), "it measured nothing");
    Ok(Samples::of(nanoseconds))
}

/// Beside it, a request through the host.
pub(crate) fn compare(numbers: &mut [Number]) {
    let request = numbers.iter().find(|number| number.id == "request").and_then(|number| number.measured);
    let python = numbers.iter_mut().find(|number| number.id == "python" && number.measured.is_some());
    if let (Some(request), Some(python)) = (request, python) {
        *python = python.clone().beside("a request that finds a good token", request);
    }
}
