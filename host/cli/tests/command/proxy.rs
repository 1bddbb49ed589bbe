//! A corporate proxy, as the environment names it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::place::{Place, Run};

/// A forward proxy that lets nothing through and writes down what it was asked.
async fn forward_proxy() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let seen = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            log.lock().expect("no panic").push_str(&String::from_utf8_lossy(&head[..length]));
            let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (address, seen)
}

/// B5: a proxy is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_the_environment_is_used_and_named() {
    let place = Place::new().await;
    let (proxy, seen) = forward_proxy().await;
    let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.wif();
        command.env("ANTHROPIC_BASE_URL", "https://api.anthropic.com").args(arguments);
        command.envs(variables.iter().copied());
        Run::of(command).await
    };
    let named = format!("user:canary-password@{proxy}");

    let status = run(&["status"], &[("HTTPS_PROXY", &named)]).await;
    assert!(status.stdout.contains(&format!("http://{proxy}")) && !status.stdout.contains("canary"), "{}", status.stdout);
    assert_eq!(*seen.lock().unwrap(), "", "nothing is sent for a status");

    let token = run(&["token", "--timeout", "1"], &[("HTTPS_PROXY", &named)]).await;
    assert_eq!(token.code, 4, "{}", token.stderr);
    assert!(!token.stderr.contains("canary"), "{}", token.stderr);
    assert!(seen.lock().unwrap().starts_with("CONNECT api.anthropic.com:443 HTTP/1.1\r\n"), "{}", seen.lock().unwrap());

    let before = seen.lock().unwrap().len();
    let variables = [("HTTPS_PROXY", named.as_str()), ("NO_PROXY", "example.com,.anthropic.com")];
    run(&["token", "--timeout", "1"], &variables).await;
    assert_eq!(seen.lock().unwrap().len(), before, "{}", seen.lock().unwrap());

    let socks = run(&["token"], &[("ALL_PROXY", "socks5://127.0.0.1:1")]).await;
    assert_eq!(socks.code, 3, "{}", socks.stderr);
    assert!(socks.stderr.contains("ALL_PROXY"), "{}", socks.stderr);
}
