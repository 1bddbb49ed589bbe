//! The one place that reads the process's variables.

/// The variable's value. A name that no variable can have is absent.
pub(crate) fn variable(name: &str) -> Option<String> {
    // Asking for such a name panics on some systems.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
