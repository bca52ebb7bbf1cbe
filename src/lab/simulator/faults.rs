//! Faults on demand, as data: the endpoint that misbehaves, how, and how often. `misbehave` applies a fault to an
//! answer.
//!
//! The text form, for flags and for `POST /simulator/faults`, is a list of rules with commas between them:
//!
//! ```text
//! rule   = endpoint "=" kind { ":" part } { ";" option }
//! endpoint = "any", or a name of Endpoint: login, status, content, transcript, structured-data, …
//! kind   = an HTTP status | slow | drip | cut | huge | notjson | empty | redirect | expire | only-for
//!        | linger (a session that has not ended) | wrong-kind (another status instead of a 404)
//! part   = 3 (number of calls) | 25% (probability) | 2s (duration; slow, drip)
//! option = message=<error id> | retry-after=<seconds> (a status) | to=<address> (redirect) | provider=<name> (only-for)
//!        | in=<state> (linger; running) | as=<HTTP status> (wrong-kind; 412)
//! ```
//!
//! For example `login=401:1;message=provider_not_registered,status=slow:2s,any=500:10%,any=429:1;retry-after=2`.
//! The first rule that matches a call and is not used up applies. An empty text means no faults.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::SignedDuration;

use super::Endpoint;

/// The default target of a redirect; no such host exists.
const ELSEWHERE: &str = "https://elsewhere.invalid/";
const SLOW: Duration = Duration::from_secs(5);
const DRIP: Duration = Duration::from_millis(100);

/// A list of rules; the first one that matches a call and is not used up applies.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults(pub Vec<Rule>);

/// A rule: a fault of one endpoint or of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The endpoint; `None` for all.
    pub endpoint: Option<Endpoint>,
    /// The fault.
    pub fault: Fault,
    /// The number of calls for which the rule applies; `None` until it is cleared.
    pub times: Option<u32>,
    /// The probability for each call, in percent; `None` for always.
    pub percent: Option<f64>,
}

/// A fault of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An error answer in the vendor's shape.
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// The vendor's error id; `None` for the usual one of the status.
        message: Option<String>,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// The correct answer, after a delay.
    Slow(Duration),
    /// The correct answer, a byte at a time, with this pause before each.
    Drip(Duration),
    /// The connection is cut in the middle of the body.
    Cut,
    /// A body that never ends.
    Huge,
    /// A 200 with an HTML page, as a proxy in between would send it.
    NotJson,
    /// A 200 without a body.
    Empty,
    /// A 302 to this address.
    Redirect(String),
    /// All tokens issued so far become invalid; then the call is answered as usual.
    Expire,
    /// A 403 for the token of any provider except this one.
    OnlyFor(String),
    /// A known session is reported in this state, whatever state it has.
    Linger(String),
    /// This status instead of a 404, for a vendor that answers so for a session of the other kind.
    WrongKind(StatusCode),
}

/// The error for a text that is not a list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault '{rule}': {why}")]
pub struct BadFault {
    rule: String,
    why: String,
}

impl Rule {
    /// A rule for every call of an endpoint (`None` for all) until it is cleared.
    pub fn always(endpoint: impl Into<Option<Endpoint>>, fault: Fault) -> Self {
        Self {
            endpoint: endpoint.into(),
            fault,
            times: None,
            percent: None,
        }
    }

    /// Limits the rule to this many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (endpoint, rest) = text
            .split_once('=')
            .ok_or("write it as endpoint=fault, for example content=404:2")?;
        let mut options = rest.split(';');
        let mut parts = options.next().unwrap_or_default().split(':');
        let endpoint = match endpoint.trim() {
            "any" => None,
            name => Some(name.parse()?),
        };
        let mut rule = Self::always(
            endpoint,
            Fault::of_word(parts.next().unwrap_or_default().trim())?,
        );
        parts.try_for_each(|part| rule.set_part(part.trim()))?;
        options.try_for_each(|option| rule.fault.set_option(option.trim()))?;
        if rule.fault == Fault::OnlyFor(String::new()) {
            return Err("only-for needs the provider: ;provider=…".to_owned());
        }
        Ok(rule)
    }

    /// Sets a part, which is recognised by its form: a number, a percentage or a duration.
    fn set_part(&mut self, part: &str) -> Result<(), String> {
        if let Some(percent) = part.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|p| (0.0..=100.0).contains(p));
            self.percent =
                Some(percent.ok_or(format!("invalid chance '{part}'; expected 0% to 100%"))?);
        } else if let Ok(times) = part.parse() {
            self.times = Some(times);
        } else {
            self.fault.set_duration(part)?;
        }
        Ok(())
    }
}

impl Fault {
    /// An error answer with the usual message for its status.
    ///
    /// # Panics
    /// When `status` is not an HTTP status.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status: StatusCode::from_u16(status).expect("an HTTP status"),
            message: None,
            retry_after: None,
        }
    }

    fn of_word(word: &str) -> Result<Self, String> {
        Ok(match word {
            "slow" => Self::Slow(SLOW),
            "drip" => Self::Drip(DRIP),
            "cut" => Self::Cut,
            "huge" => Self::Huge,
            "notjson" => Self::NotJson,
            "empty" => Self::Empty,
            "redirect" => Self::Redirect(ELSEWHERE.to_owned()),
            "expire" => Self::Expire,
            "only-for" => Self::OnlyFor(String::new()),
            "linger" => Self::Linger("running".to_owned()),
            "wrong-kind" => Self::WrongKind(StatusCode::PRECONDITION_FAILED),
            number => match number.parse() {
                Ok(status @ 200..=599) => Self::status(status),
                _ => {
                    return Err(format!(
                        "unknown fault '{number}'; expected an HTTP status from 200 to 599, slow, drip, cut, huge, notjson, \
                         empty, redirect, expire, only-for, linger or wrong-kind"
                    ));
                }
            },
        })
    }

    fn set_duration(&mut self, text: &str) -> Result<(), String> {
        let (Self::Slow(duration) | Self::Drip(duration)) = self else {
            return Err(format!(
                "'{text}' is neither a number of times nor a chance such as 10%; only slow and drip take a duration"
            ));
        };
        *duration = text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|duration| duration.try_into().ok())
            .ok_or(format!("'{text}' invalid duration or 500ms"))?;
        Ok(())
    }

    fn set_option(&mut self, option: &str) -> Result<(), String> {
        match (self, option.split_once('=')) {
            (Self::Status { message, .. }, Some(("message", id))) => *message = Some(id.to_owned()),
            (Self::Status { retry_after, .. }, Some(("retry-after", seconds))) => {
                let seconds = seconds.parse();
                *retry_after = Some(seconds.map_err(|_| "retry-after is a number of seconds")?);
            }
            (Self::Redirect(to), Some(("to", address))) => *to = address.to_owned(),
            (Self::OnlyFor(provider), Some(("provider", name))) => *provider = name.to_owned(),
            (Self::Linger(state), Some(("in", word))) => *state = word.to_owned(),
            (Self::WrongKind(status), Some(("as", number))) => {
                let number = number
                    .parse()
                    .ok()
                    .filter(|number| (200..=599).contains(number));
                let number = number.and_then(|number| StatusCode::from_u16(number).ok());
                *status = number.ok_or("as is an HTTP status from 200 to 599")?;
            }
            _ => {
                return Err(format!(
                    "unknown option '{option}'; a status takes message=… and retry-after=…, redirect takes to=…, \
                     only-for takes provider=…, linger takes in=…, wrong-kind takes as=…"
                ));
            }
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::trim)
            .filter(|rule| !rule.is_empty())
            .map(|rule| {
                Rule::parse(rule).map_err(|why| BadFault {
                    rule: rule.to_owned(),
                    why,
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.0.iter().map(Rule::to_string).collect();
        f.write_str(&rules.join(","))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, options) = self.fault.words();
        write!(
            f,
            "{}={word}",
            self.endpoint.map_or("any", Endpoint::as_str)
        )?;
        if let Some(times) = self.times {
            write!(f, ":{times}")?;
        }
        if let Some(percent) = self.percent {
            write!(f, ":{percent}%")?;
        }
        f.write_str(&options)
    }
}

impl Fault {
    /// The fault in its text form: the text before the parts of the rule, and the options after them.
    fn words(&self) -> (String, String) {
        let duration = |duration: &Duration| format!("{}ms", duration.as_millis());
        let word = match self {
            Self::Status {
                status,
                message,
                retry_after,
            } => {
                let message = message.iter().map(|id| format!(";message={id}"));
                let retry = retry_after.iter().map(|s| format!(";retry-after={s}"));
                return (status.as_u16().to_string(), message.chain(retry).collect());
            }
            Self::Redirect(to) => return ("redirect".to_owned(), format!(";to={to}")),
            Self::OnlyFor(provider) => {
                return ("only-for".to_owned(), format!(";provider={provider}"));
            }
            Self::Linger(state) => return ("linger".to_owned(), format!(";in={state}")),
            Self::WrongKind(status) => {
                return ("wrong-kind".to_owned(), format!(";as={}", status.as_u16()));
            }
            Self::Slow(delay) => format!("slow:{}", duration(delay)),
            Self::Drip(pause) => format!("drip:{}", duration(pause)),
            Self::Cut => "cut".to_owned(),
            Self::Huge => "huge".to_owned(),
            Self::NotJson => "notjson".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::Expire => "expire".to_owned(),
        };
        (word, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_faults_is_read_as_it_is_documented() {
        let faults: Faults =
            "login=401:1;message=provider_not_registered, status=slow:2s, any=500:10%, \
             any=429:1;retry-after=2,recording=redirect;to=http://other.example:81/"
                .parse()
                .expect("parses");
        let message = Some("provider_not_registered".to_owned());
        let status = StatusCode::UNAUTHORIZED;
        let expected = [
            Rule::always(
                Endpoint::Login,
                Fault::Status {
                    status,
                    message,
                    retry_after: None,
                },
            )
            .times(1),
            Rule::always(Endpoint::Status, Fault::Slow(Duration::from_secs(2))),
            Rule {
                percent: Some(10.0),
                ..Rule::always(None, Fault::status(500))
            },
            Rule::always(
                None,
                Fault::Status {
                    status: StatusCode::TOO_MANY_REQUESTS,
                    message: None,
                    retry_after: Some(2),
                },
            )
            .times(1),
            Rule::always(
                Endpoint::Recording,
                Fault::Redirect("http://other.example:81/".to_owned()),
            ),
        ];
        assert_eq!(faults.0, expected);
        assert_eq!("  ".parse(), Ok(Faults::default()));
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_faults() {
        let text = "transcript=cut,any=huge:3,content=drip:5ms:2:0.5%,login=redirect;to=http://a.example/,\
                    form-filling-status=503:1;message=down;retry-after=9,jwks=expire,any=notjson,any=empty,\
                    status=only-for:2;provider=dr-a,status=linger:3;in=staged,status=wrong-kind:10%;as=400";
        let faults: Faults = text.parse().expect("parses");
        assert_eq!(faults.to_string(), text);
        assert_eq!(faults.to_string().parse(), Ok(faults));
    }

    #[test]
    fn a_wrong_fault_is_answered_with_what_would_be_right() {
        for (text, hint) in [
            ("content", "endpoint=fault"),
            (
                "contents=404",
                "unknown endpoint 'contents'; expected any, login",
            ),
            (
                "content=oops",
                "unknown fault 'oops'; expected an HTTP status",
            ),
            ("content=700", "from 200 to 599"),
            ("content=404:2s", "only slow and drip take a duration"),
            ("content=slow:fast", "invalid duration"),
            ("content=500:110%", "expected 0% to 100%"),
            ("content=cut;retry-after=1", "unknown option"),
            ("content=only-for", "needs the provider"),
            ("content=403;provider=dr-a", "only-for takes provider=…"),
            ("content=429;retry-after=soon", "number of seconds"),
            ("status=linger;as=400", "linger takes in=…"),
            ("status=wrong-kind;as=no", "an HTTP status"),
        ] {
            let error = text.parse::<Faults>().expect_err(text).to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(error.contains(text), "{text}: {error}");
        }
    }
}
