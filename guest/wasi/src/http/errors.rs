//! What an error of `wasi:http` says about the request: whether a byte of it may have left.

/// Alerts that only answer a client's first message, when no request can have been sent (RFC 8446 section 6.2):
/// handshake_failure, protocol_version, insufficient_security, inappropriate_fallback, unrecognized_name,
/// no_application_protocol. All others may also come after a request, because a client of TLS 1.3 sends it together with its
/// certificate.
pub const EARLY_ALERTS: [u8; 6] = [40, 70, 71, 86, 112, 120];

/// `outcome_of`, for the error codes of one version of `wasi:http`: the module that has its types.
#[macro_export]
macro_rules! outcome_of_errors {
    ($types:ident) => {
        pub(crate) fn outcome_of(code: &$types::ErrorCode) -> $crate::Outcome {
            let unsent = |text: &str| $crate::Outcome::Unsent(text.to_owned());
            match code {
                $types::ErrorCode::HttpRequestDenied => $crate::Outcome::Denied("the host denies the request".to_owned()),
                $types::ErrorCode::DestinationIpProhibited => {
                    $crate::Outcome::Denied("the host prohibits the endpoint's address".to_owned())
                }
                $types::ErrorCode::DnsTimeout | $types::ErrorCode::DnsError(_) => {
                    unsent("the endpoint's name could not be looked up")
                }
                $types::ErrorCode::DestinationNotFound => unsent("the endpoint was not found"),
                $types::ErrorCode::DestinationUnavailable | $types::ErrorCode::DestinationIpUnroutable => {
                    unsent("the endpoint cannot be reached")
                }
                $types::ErrorCode::ConnectionRefused => unsent("the connection was refused"),
                $types::ErrorCode::ConnectionTimeout => unsent("no connection was made in time"),
                $types::ErrorCode::ConnectionLimitReached => unsent("the host makes no more connections"),
                $types::ErrorCode::TlsCertificateError => unsent("the endpoint's certificate is not accepted"),
                $types::ErrorCode::TlsAlertReceived(alert)
                    if alert.alert_id.is_some_and(|id| $crate::http::EARLY_ALERTS.contains(&id)) =>
                {
                    unsent("the endpoint refused the TLS handshake")
                }
                // The host did not begin: the request does not have a form that it sends.
                $types::ErrorCode::HttpRequestMethodInvalid
                | $types::ErrorCode::HttpRequestUriInvalid
                | $types::ErrorCode::HttpRequestUriTooLong
                | $types::ErrorCode::ConfigurationError => unsent("the host does not send such a request"),
                other => $crate::Outcome::MaybeSent(format!("the exchange broke off ({})", name_of(other))),
            }
        }

        /// The name of the case; what it carries may quote the request.
        fn name_of(code: &$types::ErrorCode) -> &'static str {
            match code {
                $types::ErrorCode::ConnectionTerminated => "connection-terminated",
                $types::ErrorCode::ConnectionReadTimeout => "connection-read-timeout",
                $types::ErrorCode::ConnectionWriteTimeout => "connection-write-timeout",
                $types::ErrorCode::TlsAlertReceived(_) => "TLS-alert-received",
                // Of the handshake, or of a record after the request.
                $types::ErrorCode::TlsProtocolError => "TLS-protocol-error",
                $types::ErrorCode::HttpResponseIncomplete => "HTTP-response-incomplete",
                $types::ErrorCode::HttpResponseTimeout => "HTTP-response-timeout",
                $types::ErrorCode::HttpProtocolError => "HTTP-protocol-error",
                $types::ErrorCode::LoopDetected => "loop-detected",
                $types::ErrorCode::InternalError(_) => "internal-error",
                _ => "another error of HTTP",
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use wasi::http::types::{self, DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload};
    use wif_engine::contract::Outcome;

    outcome_of_errors!(types);

    fn alert(id: u8) -> ErrorCode {
        ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id: Some(id), alert_message: None })
    }

    #[test]
    fn a_request_that_never_left_is_unsent() {
        let codes = [
            ErrorCode::ConnectionRefused,
            ErrorCode::ConnectionTimeout,
            ErrorCode::DnsTimeout,
            ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None }),
            ErrorCode::TlsCertificateError,
            alert(40),
        ];
        for code in codes {
            assert!(matches!(outcome_of(&code), Outcome::Unsent(_)), "{code:?}");
        }
    }

    #[test]
    fn a_request_that_the_host_refuses_is_denied() {
        for code in [ErrorCode::HttpRequestDenied, ErrorCode::DestinationIpProhibited] {
            assert!(matches!(outcome_of(&code), Outcome::Denied(_)), "{code:?}");
        }
    }

    #[test]
    fn whatever_may_come_after_the_request_is_maybe_sent() {
        let codes = [
            ErrorCode::ConnectionTerminated,
            ErrorCode::ConnectionReadTimeout,
            ErrorCode::HttpResponseIncomplete,
            ErrorCode::HttpProtocolError,
            ErrorCode::TlsProtocolError,
            ErrorCode::InternalError(Some("anything".to_owned())),
            // certificate_required
            alert(116),
        ];
        for code in codes {
            assert!(matches!(outcome_of(&code), Outcome::MaybeSent(_)), "{code:?}");
        }
    }
}
