//! Providers: the placeholder `{provider}` in an identity's login settings, and the patterns that say which providers
//! an identity is for.
//!
//! A provider's name is personal data, so no message shows one that is not in the configuration.

use std::borrow::Cow;
use std::fmt;

use super::check;
use crate::config::reader::setting::Setting;
use crate::config::reader::tree::Value;
use crate::config::reader::{Secret, SecretError};

/// The placeholder for the provider.
const PLACEHOLDER: &str = "{provider}";

/// Whether a text contains the placeholder.
pub(super) fn is_in(text: &str) -> bool {
    text.contains(PLACEHOLDER)
}

/// The text with the placeholder replaced by the provider. `None` if it needs a provider and none is known.
pub fn for_provider<'t>(text: &'t str, provider: Option<&str>) -> Option<Cow<'t, str>> {
    if !is_in(text) {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(text.replace(PLACEHOLDER, provider?)))
}

/// Checks a text that may contain the placeholder. Any other brace is a mistake that would be sent unchanged.
pub(super) fn may_be_in(text: &str) -> Result<(), String> {
    check::not_empty(text)?;
    check::ensure(!text.replace(PLACEHOLDER, "").contains(['{', '}']), || {
        format!("has braces without a meaning; only {PLACEHOLDER} is replaced")
    })
}

/// Checks a text that may not contain the placeholder.
pub(super) fn may_not_be_in(text: &str) -> Result<(), String> {
    check::not_empty(text)?;
    check::ensure(!is_in(text), || {
        format!(
            "must not contain {PLACEHOLDER}; it is replaced only in subject, provider_id and a command's arguments"
        )
    })
}

/// A pattern for providers' names: one name, or a prefix followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPattern(String);

impl ProviderPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        check::not_empty(text)?;
        let is_inside = text.trim_end_matches('*').contains('*') || text.ends_with("**");
        check::ensure(!is_inside, || {
            format!(
                "'{text}' has a * that is not its end; use a provider's name, or its beginning and *"
            )
        })?;
        Ok(Self(text.to_owned()))
    }

    /// Whether a provider matches the pattern.
    pub fn fits(&self, provider: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => provider.starts_with(beginning),
            None => provider == self.0,
        }
    }
}

impl Setting for ProviderPattern {
    fn parse(value: &Value) -> Result<Self, String> {
        Self::new(value.text()?)
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

/// A command that prints a secret for one provider, whose name is among its arguments.
#[derive(Clone)]
pub struct ProviderCommand(Vec<String>);

impl ProviderCommand {
    /// A command with this program and arguments.
    ///
    /// # Errors
    /// When the placeholder is in the program, or not in any argument.
    pub fn new(command: Vec<String>) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("is an empty list")?;
        check::ensure(!is_in(program), || {
            format!("has {PLACEHOLDER} in its program; put it among the arguments")
        })?;
        check::ensure(arguments.iter().any(|argument| is_in(argument)), || {
            format!("has no {PLACEHOLDER} among its arguments")
        })?;
        Ok(Self(command))
    }

    /// Runs the command for this provider and returns the secret that it prints. Blocks.
    ///
    /// # Errors
    /// When the command fails, or when the provider's name would be taken for an option.
    pub fn run(&self, provider: &str) -> Result<Secret, SecretError> {
        let is_option = |argument: &String| argument.starts_with(PLACEHOLDER);
        if provider.starts_with('-') && self.0.iter().any(is_option) {
            return Err(SecretError::Command {
                program: self.program().to_owned(),
                reason: "was not run: the provider's name would be taken for an option".to_owned(),
            });
        }
        let command = self.0.iter();
        Secret::from_command(
            command
                .map(|part| part.replace(PLACEHOLDER, provider))
                .collect(),
        )
    }

    /// The program without its arguments.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

/// Shows only the program, as for any secret that a command prints.
impl fmt::Debug for ProviderCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderCommand({}, [redacted])", self.program())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_some() {
        let fits = |pattern: &str, provider: &str| {
            ProviderPattern::new(pattern).expect(pattern).fits(provider)
        };
        assert!(fits("dr-a", "dr-a") && !fits("dr-a", "dr-ab") && !fits("dr-a", "DR-A"));
        assert!(fits("dr-*", "dr-") && fits("dr-*", "dr-a") && !fits("dr-*", "nurse"));
        assert!(fits("*", "anyone"));
        for wrong in ["", "a*b", "**", "*a"] {
            assert!(ProviderPattern::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_provider_is_put_in_and_nothing_else_is() {
        let put = |text| for_provider(text, Some("dr-a")).map(Cow::into_owned);
        assert_eq!(
            put("{provider}@x.example").as_deref(),
            Some("dr-a@x.example")
        );
        assert_eq!(put("clinic").as_deref(), Some("clinic"));
        assert_eq!(for_provider("clinic", None).as_deref(), Some("clinic"));
        assert_eq!(for_provider("{provider}", None), None);
    }

    #[test]
    fn a_command_gets_the_provider_as_an_argument_and_never_as_an_option() {
        let command = |parts: &[&str]| {
            ProviderCommand::new(parts.iter().map(|part| (*part).to_owned()).collect())
        };
        let echo = command(&["echo", "token-of-{provider}"]).expect("a command");
        assert_eq!(
            echo.run("$(id)").expect("prints").expose(),
            "token-of-$(id)"
        );
        let bare = command(&["echo", "{provider}"]).expect("a command");
        let error = bare.run("-n secret").expect_err("an option").to_string();
        assert!(
            error.contains("was not run") && !error.contains("secret"),
            "{error}"
        );
        assert!(!format!("{echo:?}").contains("token-of"));
        for wrong in [&["{provider}"][..], &["echo"], &[]] {
            assert!(command(wrong).is_err(), "{wrong:?}");
        }
    }
}
