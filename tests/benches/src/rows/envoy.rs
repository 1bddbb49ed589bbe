//! Requests through the real Envoy, with what can put a credential on them.

pub(crate) mod authorizer;
mod configuration;
mod core;
mod process;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use wif_emulator::{Emulator, Options};
use wif_proxy_wasm_image::module;

use self::authorizer::Authorizer;
use self::configuration::{Places, Variant, bootstrap};
use self::process::{Envoy, module_directory, program};
use self::traffic::{Clients, SEEN, Traffic, UNSEEN};
use crate::report::{Number, Unit};
use crate::rig;
use crate::sampler::Samples;

static STATIC_FILTER: &[u8] = include_bytes!(env!("WIF_STATIC_HEADER"));

/// Many short ones: whatever else the machine does is then the same for two rounds of a turn.
const ROUNDS: usize = 101;
const ROUND: Duration = Duration::from_millis(60);

/// Starts of Envoy for each number of workers.
const STARTS: usize = 3;

/// Clients of a listener.
const CLIENTS: usize = 32;

/// A worker's share is what so many more of them take.
const MORE_WORKERS: u32 = 4;

const NO_MODULE: &str = "The dynamic module was not built where this was measured.";

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    match program() {
        Ok(program) => measure_with(&program),
        Err(why) => {
            eprintln!("Envoy is not measured: {why:#}");
            Ok(vec![
                Number::new("envoy", "Envoy's processor time for a request", Unit::Nanoseconds)
                    .remark("Python, or Envoy's package, could not be had where this was measured."),
            ])
        }
    }
}

fn measure_with(program: &Path) -> anyhow::Result<Vec<Number>> {
    // The emulator is asked once, at the beginning, and its thread is in nobody's way.
    let runtime = rig::runtime(1)?;
    let emulator = runtime.block_on(Emulator::start(Options { check_jti: false, ..Options::default() }))?;
    let directory = tempfile::tempdir()?;
    // Which core this thread stays on afterwards is this group's business alone.
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let traffic = Traffic::new()?;
            let authorizer = Authorizer::start()?;
            let places = places(&traffic, &authorizer, &emulator, directory.path())?;
            let mut numbers = tell(&measure_requests(program, &traffic, &authorizer, &places, directory.path())?);
            if std::env::var_os("WIF_ENVOY_VARIANTS").is_some() {
                return Ok(numbers);
            }
            numbers.extend(memory(program, &traffic, &places, directory.path())?);
            numbers.push(size(&places)?);
            numbers.push(size_of_the_module(directory.path())?);
            Ok(numbers)
        });
        measuring.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
    })
}

fn places(traffic: &Traffic, authorizer: &Authorizer, emulator: &Emulator, directory: &Path) -> anyhow::Result<Places> {
    let options = emulator.options();
    let filter = directory.join("filter.wasm");
    std::fs::write(&filter, module())?;
    let static_filter = directory.join("static-header.wasm");
    std::fs::write(&static_filter, STATIC_FILTER)?;
    Ok(Places {
        api: traffic.api()?,
        token_endpoint: emulator.address(),
        client_credentials: traffic.client_credentials()?,
        authorizer: authorizer.by_http,
        processor: authorizer.by_grpc,
        static_filter,
        filter,
        other_filter: std::env::var_os("WIF_OTHER_FILTER").map(PathBuf::from),
        credential: json!({
            "base_url": emulator.base_url(),
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "service_account_id": options.service_account_id,
                "identity_token": {
                    "source": "literal",
                    "value": emulator.identity_provider().token().without_jti().sign().expose(),
                },
            },
        }),
    })
}

/// What was measured of a variant, round by round.
struct Series {
    variant: Variant,
    /// Nanoseconds that Envoy ran, for each request.
    cpu: Vec<f64>,
    /// Requests of a second.
    throughput: Vec<f64>,
    /// Nanoseconds.
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// The part of the round in which Envoy ran.
    busy: Vec<f64>,
    /// Nanoseconds that the process ran that is asked, for each request.
    asked: Vec<f64>,
}

impl Series {
    fn new(variant: Variant) -> Self {
        let (cpu, throughput, p50, p99, busy, asked) = Default::default();
        Self { variant, cpu, throughput, p50, p99, busy, asked }
    }

    #[allow(clippy::cast_precision_loss, reason = "a round has not so many requests")]
    fn round(&mut self, envoy: &Envoy, authorizer: &Authorizer, traffic: &Traffic, clients: &mut Clients) -> anyhow::Result<()> {
        let (before, asked_before) = (envoy.processor_time()?, authorizer.processor_time()?);
        let round = traffic.round(clients, ROUND)?;
        let (ran, asked) = (envoy.processor_time()? - before, authorizer.processor_time()? - asked_before);
        let requests = round.latencies.len() as f64;
        let latencies = Samples::of(round.latencies);
        self.cpu.push(ran / requests);
        self.throughput.push(requests * 1e9 / round.lasted);
        self.p50.push(latencies.median());
        self.p99.push(latencies.quantile(0.99));
        self.busy.push(ran / round.lasted);
        self.asked.push(asked / requests);
        Ok(())
    }
}

fn measure_requests(
    program: &Path,
    traffic: &Traffic,
    authorizer: &Authorizer,
    places: &Places,
    directory: &Path,
) -> anyhow::Result<Vec<Series>> {
    let variants = variants(places)?;
    let envoy = Envoy::start(program, &bootstrap(&variants, places), 1, directory)?;
    let mut series: Vec<(Series, Clients)> = Vec::new();
    for variant in variants {
        let listener = envoy.address(variant.id())?;
        until_ready(traffic, &envoy, variant)?;
        series.push((Series::new(variant), traffic.connect(listener, CLIENTS)?));
    }
    // What they do for the first time they do slowly.
    for (series, clients) in &mut series {
        Series::new(series.variant).round(&envoy, authorizer, traffic, clients)?;
    }
    let mut order: Vec<usize> = (0..series.len()).collect();
    let mut seed = 1;
    for _ in 0..ROUNDS {
        shuffle(&mut order, &mut seed);
        for index in &order {
            let (series, clients) = &mut series[*index];
            series
                .round(&envoy, authorizer, traffic, clients)
                .with_context(|| format!("{}: {}", series.variant.id(), envoy.last_words()))?;
        }
    }
    Ok(series.into_iter().map(|(series, _)| series).collect())
}

fn variants(places: &Places) -> anyhow::Result<Vec<Variant>> {
    let has_module = module_file()?.exists();
    let asked_for = std::env::var("WIF_ENVOY_VARIANTS").ok();
    let is_asked_for = |id: &str| asked_for.as_ref().is_none_or(|ids| ids.split(',').any(|asked| asked == id));
    Ok(Variant::ALL
        .into_iter()
        .filter(|variant| is_asked_for(variant.id()))
        .filter(|variant| match variant {
            variant if variant.is_module() => has_module,
            variant if variant.is_other() => places.other_filter.is_some(),
            _ => true,
        })
        .collect())
}

/// Waits until requests arrive as they should.
fn until_ready(traffic: &Traffic, envoy: &Envoy, variant: Variant) -> anyhow::Result<()> {
    let listener = envoy.address(variant.id())?;
    let expected = if variant == Variant::Nothing { UNSEEN } else { SEEN };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = traffic.ask(listener)?;
        if answer == expected {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} answers {answer}: {}", variant.id(), envoy.last_words());
        traffic.idle(Duration::from_millis(50));
    }
}

/// Every order is as likely as any other, and the same in every run.
fn shuffle(order: &mut [usize], seed: &mut u64) {
    for last in (1..order.len()).rev() {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[allow(clippy::cast_possible_truncation, reason = "less than the length")]
        order.swap(last, ((*seed >> 33) % (last as u64 + 1)) as usize);
    }
}

// ---- what it comes to -------------------------------------------------------------------------------------------------

fn tell(series: &[Series]) -> Vec<Number> {
    use Variant::{
        ExtAuthz, ExtProc, Filter, FilterNamed, FilterUpstream, FilterUpstreamNamed, InjectorOauth2, Module, ModuleNamed,
    };
    use Variant::{Nothing, OtherFilter, OtherFilterUpstream, StaticFilter, StaticFilterLean, StaticFilterUpstream};

    let find = |variant: Variant| series.iter().find(|series| series.variant == variant);
    let mut numbers = Vec::new();
    if let Some(nothing) = find(Nothing) {
        numbers.extend(series.iter().flat_map(|series| series.tell(nothing)));
    }
    let compared = |of: Variant, with: Variant, compare: fn(&Series, &Series) -> Number| Some(compare(find(of)?, find(with)?));
    let aims = [(Filter, StaticFilter, 1.10), (FilterUpstream, StaticFilterUpstream, 1.07), (Module, InjectorOauth2, 1.05)];
    for (of, with, limit) in aims {
        let number = compared(of, with, Series::times);
        numbers.extend(number.map(|number| argued(number.at_most(&format!("≤ {limit:.2} ×"), limit))));
    }
    let others = [
        (FilterNamed, StaticFilter),
        (FilterUpstreamNamed, StaticFilterUpstream),
        (ModuleNamed, InjectorOauth2),
        (ExtAuthz, Filter),
        (ExtProc, Filter),
        (StaticFilter, StaticFilterLean),
        (Filter, StaticFilterLean),
        (OtherFilter, StaticFilter),
        (OtherFilter, Filter),
        (OtherFilterUpstream, StaticFilterUpstream),
        (OtherFilterUpstream, FilterUpstream),
    ];
    for (of, with) in others {
        numbers.extend(compared(of, with, Series::times).map(Number::detail));
    }
    for (of, with) in aims.map(|(of, with, _)| (of, with)).into_iter().chain(others) {
        numbers.extend(compared(of, with, Series::above).map(Number::detail));
    }
    numbers
}

/// A number that misses its target says where the reason stands.
fn argued(number: Number) -> Number {
    if number.met == Some(false) { number.remark("Why is in the documentation of wif-benches.") } else { number }
}

impl Series {
    /// What it measured, beside the same without a filter. The processor's time says it all, and stands in the README.
    fn tell(&self, nothing: &Self) -> [Number; 4] {
        let number = |id: &str, what: &str, unit: Unit, of: fn(&Self) -> &Vec<f64>| {
            let name = self.variant.name();
            let number = Number::new(&format!("envoy.{}.{id}", self.variant.id()), &format!("{what}: {name}"), unit);
            let number = number.samples(&Samples::of(of(self).clone()));
            if self.variant == nothing.variant {
                return number;
            }
            number.beside(nothing.variant.name(), Samples::of(of(nothing).clone()).median())
        };
        let busy = Samples::of(self.busy.clone()).median() * 100.0;
        let asked = match self.variant.asks() {
            true => {
                format!(" The process that is asked takes {:.0} µs more.", Samples::of(self.asked.clone()).median() / 1_000.0)
            }
            false => String::new(),
        };
        [
            number("cpu", "Envoy's processor time for a request", Unit::Nanoseconds, |series| &series.cpu)
                .remark(format!("Envoy ran {busy:.0} % of the time.{asked}")),
            number("throughput", "Requests of a second through one worker of Envoy", Unit::Count, |series| &series.throughput)
                .detail(),
            number("p50", "Half of the requests through a busy Envoy are faster", Unit::Nanoseconds, |series| &series.p50)
                .detail(),
            number("p99", "99 % of the requests through a busy Envoy are faster", Unit::Nanoseconds, |series| &series.p99)
                .detail(),
        ]
    }

    /// How many times the other's processor time it takes, turn by turn.
    fn times(&self, other: &Self) -> Number {
        let ratios = self.cpu.iter().zip(&other.cpu).map(|(this, other)| this / other).collect();
        let id = format!("envoy.{}.cpu_over_{}", self.variant.id(), other.variant.id());
        let what = format!("… of it: {}, over {}", self.variant.name(), other.variant.name());
        Number::new(&id, &what, Unit::Times).samples(&Samples::of(ratios))
    }

    /// What it takes for a request above what the other takes, turn by turn.
    fn above(&self, other: &Self) -> Number {
        let above = self.cpu.iter().zip(&other.cpu).map(|(this, other)| this - other).collect();
        let id = format!("envoy.{}.above_{}", self.variant.id(), other.variant.id());
        let what = format!("… processor time: {}, above {}", self.variant.name(), other.variant.name());
        Number::new(&id, &what, Unit::Nanoseconds).samples(&Samples::of(above))
    }
}

/// What one more worker takes.
fn memory(program: &Path, traffic: &Traffic, places: &Places, directory: &Path) -> anyhow::Result<[Number; 2]> {
    let resident = |variant: Variant, workers: u32| {
        let envoy = Envoy::start(program, &bootstrap(&[variant], places), workers, directory)?;
        until_ready(traffic, &envoy, variant)?;
        let mut clients = traffic.connect(envoy.address(variant.id())?, CLIENTS)?;
        traffic.round(&mut clients, ROUND)?;
        envoy.resident()
    };
    let has_module = module_file()?.exists();
    let (mut filter, mut static_filter, mut module, mut nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        for (variant, weights) in [
            (Variant::Filter, &mut filter),
            (Variant::StaticFilter, &mut static_filter),
            (Variant::Module, &mut module),
            (Variant::Nothing, &mut nothing),
        ] {
            if variant == Variant::Module && !has_module {
                continue;
            }
            let one = resident(variant, 1)?;
            weights.push((resident(variant, 1 + MORE_WORKERS)? - one) / f64::from(MORE_WORKERS));
        }
    }
    let of_the_module = Number::new("envoy.module.memory", "One more worker of Envoy, with the dynamic module", Unit::Bytes);
    Ok([
        Number::new("envoy.memory", "One more worker of Envoy, with this filter", Unit::Bytes)
            .samples(&Samples::of(filter))
            .beside(Variant::StaticFilter.name(), Samples::of(static_filter).median()),
        match has_module {
            true => of_the_module
                .samples(&Samples::of(module))
                .beside(Variant::Nothing.name(), Samples::of(nothing).median())
                .remark("Workers share the module's session and its component."),
            false => of_the_module.remark(NO_MODULE),
        },
    ])
}

#[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
fn size(places: &Places) -> anyhow::Result<Number> {
    let floor = std::fs::metadata(&places.static_filter)?.len() as f64;
    Ok(Number::new("envoy.size", "Size of the filter's module, its own function names kept", Unit::Bytes)
        .value(module().len() as f64)
        .beside(Variant::StaticFilter.name(), floor))
}

/// The module as it is shipped: without symbols.
fn size_of_the_module(directory: &Path) -> anyhow::Result<Number> {
    let number = Number::new("envoy.module.size", "Size of the dynamic module, without symbols", Unit::Bytes);
    let module = module_file()?;
    if !module.exists() {
        return Ok(number.remark(NO_MODULE));
    }
    let stripped = directory.join("stripped.so");
    // The linker's own companion, which is where the linker is.
    match Command::new("strip").arg("-o").arg(&stripped).arg(&module).status() {
        Ok(status) if status.success() => {}
        _ => return Ok(number.remark("There is no `strip` where this was measured.")),
    }
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
    let (size, component) = (std::fs::metadata(&stripped)?.len() as f64, wif::component::precompiled().len() as f64);
    Ok(number.value(size).beside("the compiled component in it, before it is packed", component))
}

fn module_file() -> anyhow::Result<PathBuf> {
    Ok(module_directory()?.join("libwif_envoy.so"))
}
