//! The ids of a trace and of a span within it (W3C Trace Context), and the header that carries them.
//!
//! The id of an event's first trace is the event's id. So the trace id need not be stored, every instance knows it, and
//! an operator who knows the event's id can find its trace.

use std::fmt;

use crate::domain::EventId;

/// The ids of a span: its trace id and its own id. Neither is all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

impl SpanContext {
    /// The span in which an event was received. The trace id is the event's id, and the span id is its second half,
    /// which is random in a UUID of version 7.
    pub fn of_event(id: EventId) -> Self {
        let trace = *id.as_bytes();
        let [.., s0, s1, s2, s3, s4, s5, s6, s7] = trace;
        Self {
            trace,
            span: [s0, s1, s2, s3, s4, s5, s6, s7],
        }
    }

    /// The first span of a new trace.
    pub(super) fn new_trace() -> Self {
        let trace: u128 = rand::random();
        Self {
            trace: trace.max(1).to_be_bytes(),
            span: new_span(),
        }
    }

    /// A new span of the same trace.
    pub(super) fn new_child(self) -> Self {
        Self {
            trace: self.trace,
            span: new_span(),
        }
    }

    /// The span that a `traceparent` header of any version names (<https://www.w3.org/TR/trace-context/>).
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_end = version != "00" || parts.next().is_none();
        let is_formed = version.len() == 2 && version != "ff" && flags.len() == 2 && is_end;
        if !is_formed || !is_lower(header) {
            return None;
        }
        let mut context = Self {
            trace: [0; 16],
            span: [0; 8],
        };
        hex::decode_to_slice(trace, &mut context.trace).ok()?;
        hex::decode_to_slice(span, &mut context.span).ok()?;
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace)
    }

    /// The `traceparent` header for a call within this span. Every exported span is sampled, so the flag is set.
    pub fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-01",
            hex::encode(self.trace),
            hex::encode(self.span)
        )
    }

    /// A number from 0 to 1 that decides whether a trace is sampled. It is computed from the last bytes of the trace
    /// id, which are also random in a UUID of version 7.
    pub(super) fn share(&self) -> f64 {
        let [.., a, b, c, d] = self.trace;
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }
}

fn new_span() -> [u8; 8] {
    rand::random::<u64>().max(1).to_be_bytes()
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_trace_has_the_events_id() {
        let id = EventId::generate();
        let context = SpanContext::of_event(id);
        assert_eq!(context.trace_id(), id.to_string().replace('-', ""));
        assert_eq!(SpanContext::parse(&context.traceparent()), Some(context));
    }

    #[test]
    fn a_header_that_names_no_span_is_none() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (header, is_one) in [
            (format!("00-{trace}-{span}-01"), true),
            (format!("00-{trace}-{span}-00"), true),
            (format!("cc-{trace}-{span}-01-what-comes"), true),
            (format!("00-{trace}-{span}-01-what-comes"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}-{span}-1"), false),
            (format!("0-{trace}-{span}-01"), false),
            (format!("00-{trace}0-{span}-01"), false),
            ("Jane Doe".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(SpanContext::parse(&header).is_some(), is_one, "{header}");
        }
    }

    #[test]
    fn a_tenth_of_all_events_is_about_a_tenth() {
        let contexts = (0..10_000).map(|_| SpanContext::of_event(EventId::generate()));
        let sampled = contexts.filter(|context| context.share() < 0.1).count();
        assert!((800..1200).contains(&sampled), "{sampled}");
    }
}
