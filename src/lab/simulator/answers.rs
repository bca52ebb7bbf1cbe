//! The answers of the vendor's API, in the shapes of docs/VENDOR.md, "Answers", with plausible text made from the
//! session's id.
//!
//! The functions are pure: the same session always has the same note. No text is about a real patient.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::Session;

/// An error in the vendor's shape.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({ "code": status.as_u16(), "message": message });
    (status, Json(body)).into_response()
}

pub(super) fn status(state: &str) -> Value {
    json!({ "status": state })
}

/// The note of a session, or of an encounter with several.
pub(super) fn content(sessions: &[Session]) -> Value {
    let visits: Vec<_> = sessions.iter().map(Visit::of).collect();
    let section = |title: &str, loinc: &str, text: &dyn Fn(&Visit) -> String| {
        let paragraphs: Vec<_> = visits.iter().map(text).collect();
        json!({ "title": title, "loinc_code": loinc, "content": paragraphs.join("\n\n") })
    };
    json!({
        "summary": [
            section("HISTORY OF PRESENT ILLNESS", "10164-2", &Visit::history),
            section("PHYSICAL EXAM", "29545-1", &Visit::exam),
            section("ASSESSMENT AND PLAN", "18776-5", &Visit::plan),
        ],
        "structured_data": visits.iter().map(|visit| json!({
            "title": "MEDICATIONS",
            "data": { "drug_name": visit.condition.drug, "instructions": visit.condition.instructions },
        })).collect::<Vec<_>>(),
    })
}

/// The diagnoses and orders of a session, or of an encounter with several.
pub(super) fn structured_data(sessions: &[Session]) -> Value {
    let visits: Vec<_> = sessions.iter().map(Visit::of).collect();
    json!({ "structured_data": {
        "diagnoses": { "values": visits.iter().map(Visit::diagnosis).collect::<Vec<_>>() },
        "orders": { "medication_orders": {
            "partial_values": [],
            "values": visits.iter().map(Visit::order).collect::<Vec<_>>(),
        } },
    } })
}

pub(super) fn transcript(session: &Session) -> Value {
    let visit = Visit::of(session);
    let recording = visit.uuid("recording");
    let lines: Vec<_> = visit
        .dialogue()
        .into_iter()
        .zip(0..)
        .map(|(line, number)| {
            let (start, end) = (number * 12, number * 12 + 11);
            json!({
                "transcript_id": visit.uuid(&format!("line {number}")),
                "recording_id": recording,
                "lang_id": "en",
                "transcript": line,
                "start_time": visit.time(start),
                "end_time": visit.time(end),
                "start_offset": offset(start),
                "end_offset": offset(end),
            })
        })
        .collect();
    json!({ "final_transcript": lines })
}

/// The recording of a session. Its address is on another host, as the vendor's is, and does not exist.
pub(super) fn recording(session: &Session) -> Value {
    let visit = Visit::of(session);
    let id = visit.uuid("recording");
    json!({
        "recordings": [{
            "recording_id": id,
            "presigned_url": format!("https://storage.invalid/recordings/{id}.wav?signature=simulated"),
            "expires_at": 1_893_456_000,
            "sequence_number": 1,
        }],
        "is_streamable": true,
    })
}

pub(super) fn form_structured_data(session: &Session) -> Value {
    let visit = Visit::of(session);
    json!({ "structured_data": {
        "generated_values": [{
            "id": visit.uuid("form"),
            "form_template_id": format!("{}-template", visit.uuid("template")),
            "correlation_id": visit.uuid("correlation"),
            "created_at": visit.time(0),
            "data": {
                "systolic_mmhg": 110 + visit.pick(40),
                "diastolic_mmhg": 65 + visit.pick(25),
                "pulse_per_minute": 58 + visit.pick(30),
            },
            "metadata": { "origin": "AMBIENT" },
            "patient_id": format!("patient-{}", visit.pick(10_000)),
            "status": "MEDICAL_FORM_STATUS_COMPLETED",
            "title": "Adult Vitals",
            "type": "VITALS_ASSESSMENT",
        }],
        "non_generated_values": [{ "form_template_id": visit.uuid("other template") }],
    } })
}

/// A condition that a patient may have.
struct Condition {
    name: &'static str,
    icd10: &'static str,
    imo: &'static str,
    complaint: &'static str,
    drug: &'static str,
    rxcui: &'static str,
    milligrams: u32,
    instructions: &'static str,
}

const CONDITIONS: [Condition; 4] = [
    Condition {
        name: "Essential hypertension",
        icd10: "I10",
        imo: "30422",
        complaint: "headaches in the morning and high readings at home",
        drug: "lisinopril",
        rxcui: "29046",
        milligrams: 10,
        instructions: "Take one tablet by mouth once daily.",
    },
    Condition {
        name: "Type 2 diabetes mellitus",
        icd10: "E11.9",
        imo: "29985",
        complaint: "thirst and tiredness for some months",
        drug: "metformin",
        rxcui: "6809",
        milligrams: 500,
        instructions: "Take one tablet by mouth twice daily with meals.",
    },
    Condition {
        name: "Mild persistent asthma",
        icd10: "J45.30",
        imo: "1473812",
        complaint: "a cough at night and wheezing after exercise",
        drug: "montelukast",
        rxcui: "88249",
        milligrams: 10,
        instructions: "Take one tablet by mouth in the evening.",
    },
    Condition {
        name: "Gastro-oesophageal reflux disease",
        icd10: "K21.9",
        imo: "52180",
        complaint: "heartburn after meals and when lying down",
        drug: "omeprazole",
        rxcui: "7646",
        milligrams: 20,
        instructions: "Take one capsule by mouth before breakfast.",
    },
];

/// The course of a session, which is determined by its id and the number of its note.
struct Visit {
    digest: [u8; 32],
    condition: &'static Condition,
}

impl Visit {
    fn of(session: &Session) -> Self {
        let mut hash = Sha256::new_with_prefix(&session.id);
        if session.note > 1 {
            hash.update(session.note.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self {
            digest,
            condition: &CONDITIONS[usize::from(digest[0]) % CONDITIONS.len()],
        }
    }

    /// A number below `below`.
    fn pick(&self, below: u32) -> u32 {
        let [_, a, b, c, d, ..] = self.digest;
        u32::from_be_bytes([a, b, c, d]) % below
    }

    /// An id for one thing of this visit.
    fn uuid(&self, thing: &str) -> String {
        let digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update(thing)
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// The time this many seconds into the visit, with nanoseconds, as the vendor writes times.
    fn time(&self, seconds: i64) -> String {
        let start = 1_767_225_600 + i64::from(self.pick(20_000_000));
        let start = Timestamp::new(start, 393_948_332).unwrap_or(Timestamp::UNIX_EPOCH);
        (start + SignedDuration::from_secs(seconds)).to_string()
    }

    fn history(&self) -> String {
        let Condition {
            name, complaint, ..
        } = self.condition;
        let age = 30 + self.pick(50);
        format!(
            "A {age}-year-old patient with {complaint}. Known {name}. No chest pain, no fever. Sleeps well."
        )
    }

    fn exam(&self) -> String {
        let (systolic, pulse) = (110 + self.pick(40), 58 + self.pick(30));
        format!("Blood pressure {systolic}/78 mmHg, pulse {pulse}/min. Heart and lungs normal.")
    }

    fn plan(&self) -> String {
        let Condition {
            name,
            drug,
            milligrams,
            instructions,
            ..
        } = self.condition;
        format!("{name}: {drug} {milligrams} mg. {instructions} Seen again in three months.")
    }

    fn dialogue(&self) -> [String; 5] {
        let Condition {
            complaint,
            drug,
            milligrams,
            instructions,
            ..
        } = self.condition;
        [
            "Good morning, what brings you here today?".to_owned(),
            format!("I have had {complaint}."),
            "Have you had any chest pain or fever?".to_owned(),
            "No, nothing like that.".to_owned(),
            format!("Then let us start {drug}, {milligrams} milligrams. {instructions}"),
        ]
    }

    fn diagnosis(&self) -> Value {
        let Condition {
            name, icd10, imo, ..
        } = self.condition;
        json!({
            "codes": [
                { "code": icd10, "description": name, "type": "ICD10" },
                { "code": imo, "description": name, "type": "IMO" },
            ],
            "diagnosis_note": self.plan(),
            "laterality_indicator": 4,
            "post_coord_lex_flag": 1,
        })
    }

    fn order(&self) -> Value {
        let Condition {
            icd10,
            drug,
            rxcui,
            milligrams,
            instructions,
            ..
        } = self.condition;
        json!({
            "drug_name": drug,
            "dosage": { "quantity": 1, "raw_value": "1 tablet", "unit": "tablet" },
            "strength": { "raw_value": format!("{milligrams} mg") },
            "route": { "raw_value": "oral" },
            "medication_code": { "code": rxcui, "type": "RXCUI" },
            "linked_diagnosis_codes": [{ "code": icd10, "type": "ICD10" }],
            "duration_in_days": 90,
            "number_of_refills": 3,
            "quantity_dispensed": "90",
            "instructions": instructions,
            "start_date": self.time(0),
            "status": "ACTIVE",
        })
    }
}

fn offset(seconds: i64) -> Value {
    json!({ "hours": 0, "minutes": seconds / 60, "seconds": seconds % 60, "nanos": 80_000_000 })
}
