//! The page of this machine that the browser comes back to.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

use crate::exit::Refusal;

/// A request of a browser is no larger, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Whoever connects says within this time what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between a visitor who could not come in and the next one.
const PAUSE: Duration = Duration::from_millis(50);

/// What a visitor brings.
enum Brought {
    Code(String),
    Refusal(String),
}

/// Waits for the code. Whoever comes without the right state is sent away, and changes nothing.
pub(super) async fn code(listener: TcpListener, state: &str) -> anyhow::Result<String> {
    let (sender, mut brought) = mpsc::channel(1);
    loop {
        tokio::select! {
            Some(brought) = brought.recv() => {
                return match brought {
                    Brought::Code(code) => Ok(code),
                    Brought::Refusal(error) => Err(Refusal(format!("the login was not allowed ({error})")).into()),
                };
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let (sender, state) = (sender.clone(), state.to_owned());
                    tokio::spawn(async move {
                        // A visitor who says nothing holds up nobody.
                        let _ = tokio::time::timeout(PATIENCE, serve(socket, &state, sender)).await;
                    });
                }
                // A visitor who left at once, or no more files for now: the next one may come in.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}

async fn serve(mut socket: TcpStream, state: &str, sender: mpsc::Sender<Brought>) -> Option<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        socket.read_buf(&mut request).await.ok().filter(|read| *read > 0 && request.len() <= MAX_BYTES)?;
    }
    let head = String::from_utf8_lossy(&request);
    let target = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let url = target.and_then(|target| Url::parse("http://localhost").ok()?.join(target).ok());
    let url = url.filter(|url| url.path() == "/callback");
    let member = |name: &str| {
        let mut pairs = url.as_ref()?.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let (status, text, brought) =
        match (url.is_some(), member("state").as_deref() == Some(state), member("code"), member("error")) {
            (false, ..) => ("404 Not Found", "There is nothing here.", None),
            (true, false, ..) => ("400 Bad Request", "This is not the login that was begun.", None),
            (true, true, _, Some(error)) => {
                let error = error.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(64).collect();
                ("200 OK", "The login was not allowed. You may close this window.", Some(Brought::Refusal(error)))
            }
            (true, true, Some(code), None) => {
                ("200 OK", "You are logged in. You may close this window.", Some(Brought::Code(code)))
            }
            (true, true, None, None) => ("400 Bad Request", "There is no code.", None),
        };
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>wif login</title><p>{text}</p>");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n\
         content-security-policy: default-src 'none'\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // The person sees the page before the command ends.
    let _gone = socket.write_all(format!("{head}{page}").as_bytes()).await;
    let _gone = socket.shutdown().await;
    if let Some(brought) = brought {
        sender.send(brought).await.ok()?;
    }
    Some(())
}
