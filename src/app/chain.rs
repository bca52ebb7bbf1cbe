//! Formats an error with its causes for people.

/// An error and its causes. A cause that the message of the error above it already contains is left out.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_named_is_not_named_again() {
        let cause = || std::io::Error::from_raw_os_error(98);
        let named = anyhow::anyhow!("cannot bind 127.0.0.1:1: {}", cause());
        let error = anyhow::Error::from(cause()).context(named.to_string());
        assert_eq!(chain(&error).matches("os error 98").count(), 1);
        let error = anyhow::Error::from(cause()).context("cannot bind");
        assert_eq!(chain(&error).matches("os error 98").count(), 1);
    }
}
