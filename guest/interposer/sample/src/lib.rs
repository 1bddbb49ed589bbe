//! An application to compose with the interposer: it answers every request with the models of the Claude API, and knows nothing of
//! credentials. `guest/interposer/README.md` says how to build, compose and serve it.
//!
//! The variable `ANTHROPIC_BASE_URL` moves the API, as for every other client of it.

use bindings::exports::wasi::http::handler::Guest;
use bindings::wasi::cli::environment::get_environment;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use bindings::wit_future;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "package sample:application; world application {
            import wasi:cli/environment@0.3.0;
            import wasi:http/client@0.3.0;
            export wasi:http/handler@0.3.0;
        }",
        path: ["../../../wit/interposer/deps/clocks", "../../../wit/interposer/deps/http", "../../../tests/guests/calling/wit"],
        generate_all,
    });
    export!(Application with_types_in self);
    use super::Application;
}

struct Application;

impl Guest for Application {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let variable = get_environment().into_iter().find(|(name, _)| name == "ANTHROPIC_BASE_URL");
        let base_url = variable.map_or_else(|| "https://api.anthropic.com".to_owned(), |(_, url)| url);
        let (scheme, authority) = base_url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };

        let fields = Fields::from_list(&[("anthropic-version".to_owned(), b"2023-06-01".to_vec())]);
        let fields = fields.map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
        let (_, no_trailers) = wit_future::new(|| Ok(None));
        let (request, _) = Request::new(fields, None, no_trailers, None);
        request
            .set_scheme(Some(&scheme))
            .and_then(|()| request.set_authority(Some(authority)))
            .and_then(|()| request.set_path_with_query(Some("/v1/models")))
            .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;

        let answer = client::send(request).await?;
        let (_, taken) = wit_future::new(|| Ok(()));
        let (content, trailers) = Response::consume_body(answer, taken);
        Ok(Response::new(Fields::new(), Some(content), trailers).0)
    }
}
