//! The proxy-wasm filter as it is, around a session that says what its configuration tells it to: a case in `tests/callers`.

#[cfg(target_arch = "wasm32")]
mod filter {
    use serde_json::{Value, json};
    use wif_engine::contract::{
        Access, Capability, Clock, ConfigurationError, Event, Header, Output, PendingReason, Progress, Standing, Start, Usable,
    };
    use wif_guest_script::{Line, Script};
    use wif_proxy_wasm::driver::Machine;

    #[unsafe(no_mangle)]
    extern "C" fn _initialize() {
        wif_proxy_wasm::start(wif_proxy_wasm::Make { open, on_request: None });
    }

    fn open(configuration: &str, _: u64, _: &[Capability], _: Start) -> Result<Box<dyn Machine>, ConfigurationError> {
        Ok(Box::new(Scripted(Script::read(configuration))))
    }

    struct Scripted(Script);

    impl Machine for Scripted {
        fn step(&mut self, now: Clock, event: Event) -> Output {
            let name = match event {
                Event::Needed => "needed",
                Event::Rejected(_) => "rejected",
                Event::Changed => "changed",
                Event::Closing => "closing",
                _ => "another",
            };
            let line = self.0.line(now.wall_ms, name);
            Output {
                access: access(&line),
                progress: if line.is_underway() { Progress::Underway } else { Progress::Resting },
                wait_at_most_ms: line.wait_at_most_ms(),
                tasks: Vec::new(),
                abandon: Vec::new(),
                wake_in_ms: line.next_in_ms,
                journal: None,
                notes: Vec::new(),
            }
        }

        fn entry_key(&self) -> Option<String> {
            None
        }
    }

    fn access(line: &Line<'_>) -> Access {
        let access = &line.says["access"];
        if let Some(usable) = access.get("usable") {
            let token = usable["token"].as_str().expect("a token");
            let value = format!("Bearer sk-ant-oat01-{token}").into();
            return Access::Usable(Usable {
                id: token.repeat(16),
                origin: usable["origin"].as_str().unwrap_or("https://api.anthropic.com").to_owned(),
                set: vec![Header { name: "authorization".to_owned(), value }],
                merge: Vec::new(),
                refresh_in_ms: line.time(usable, "refresh-in-ms"),
                hold_in_ms: line.time(usable, "hold-in-ms"),
                unusable_in_ms: line.time(usable, "unusable-in-ms"),
                standing: if usable["standing"] == "suspect" { Standing::Suspect } else { Standing::Good },
            });
        }
        if let Some(failure) = access.get("failed") {
            let mut whole = json!({"code": failure["code"], "message": "A script says so.", "action": "Read it."});
            if let Some(retry_in_ms) = line.time(failure, "retry-in-ms") {
                whole["retry-in-ms"] = retry_in_ms.into();
            }
            return Access::Failed(serde_json::from_value(whole).expect("a failure"));
        }
        match access.as_str() {
            Some("pending") => Access::Pending(PendingReason::Exchanging),
            Some("idle") => Access::Idle,
            Some("closed") => Access::Closed,
            _ => panic!("no access: {}", Value::clone(access)),
        }
    }
}
