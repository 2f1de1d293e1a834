//! What people do with incidents: take them, close them, write something down.

use vigie_parsers::Timestamp;
use vigie_store::incidents::{
    Acknowledgement, Incident, IncidentId, IncidentState, NewEntry, Resolution, TEXT_BYTES_MAX,
    What,
};
use vigie_store::{Handle, State};

use crate::{Error, Result, book};

/// A name is no longer; it stands in lists.
const NAME_BYTES_MAX: usize = 100;

/// What somebody does with an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it in hand (or over).
    Acknowledge,
    /// Close it. What still holds fires anew and reopens it: to keep it quiet, acknowledge it.
    Resolve,
    /// Write something down.
    Note,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Acknowledge, Self::Resolve, Self::Note];

    /// The word on the command line and in paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledge => "ack",
            Self::Resolve => "resolve",
            Self::Note => "note",
        }
    }

    /// The action of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == word)
    }
}

/// Does it, durably, and gives the incident as it is then. Blocks: not for async workers.
///
/// # Errors
/// [`Error::NoIncident`], [`Error::Refused`] with a reason for people, or that of the store.
pub fn act(
    handle: &Handle,
    action: Action,
    id: IncidentId,
    by: &str,
    message: &str,
    now: Timestamp,
) -> Result<Incident> {
    let (by, message) = (by.to_owned(), message.to_owned());
    let done = handle.update(move |state| {
        match perform(state, action, id, &by, &message, now) {
            // Only this undoes what was written before it.
            Err(Error::Store(error)) => Err(error),
            other => Ok(other),
        }
    });
    done?
}

/// The same inside a transaction that is open already.
///
/// # Errors
/// As [`act`].
pub fn perform(
    state: &mut State<'_>,
    action: Action,
    id: IncidentId,
    by: &str,
    message: &str,
    now: Timestamp,
) -> Result<Incident> {
    let (by, message) = (checked_name(by)?, checked_message(action, message)?);
    let incident = state.incident(id)?.ok_or(Error::NoIncident(id))?;
    if incident.resolved.is_some() && action != Action::Note {
        return Err(Error::Refused(format!("{id} is resolved already")));
    }
    match action {
        Action::Acknowledge => {
            let ack = Acknowledgement {
                by: by.to_owned(),
                at: now,
                note: message.to_owned(),
            };
            state.set_acknowledged(id, Some(&ack))?;
            let to = IncidentState::Acknowledged;
            append(state, &incident, What::Acknowledged, to, by, message, now)?;
        }
        Action::Resolve => {
            let how = Resolution {
                at: now,
                by: Some(by.to_owned()),
                reason: message.to_owned(),
            };
            book::close(state, &incident, &how, by)?;
        }
        Action::Note => {
            let to = incident.state();
            append(state, &incident, What::Noted, to, by, message, now)?;
        }
    }
    state.incident(id)?.ok_or(Error::NoIncident(id))
}

fn append(
    state: &mut State<'_>,
    incident: &Incident,
    what: What,
    to: IncidentState,
    who: &str,
    reason: &str,
    at: Timestamp,
) -> Result<()> {
    let entry = NewEntry {
        at,
        who,
        what,
        from: incident.state(),
        to,
        alert: None,
        reason,
    };
    Ok(state.append_entry(incident.id, &entry)?)
}

fn checked_name(by: &str) -> Result<&str> {
    let by = by.trim();
    if by.is_empty() || by.len() > NAME_BYTES_MAX || by.chars().any(char::is_control) {
        return Err(Error::Refused(format!(
            "say who you are in 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    if by == book::VIGIE {
        return Err(Error::Refused(format!(
            "`{}` signs what vigie does itself",
            book::VIGIE
        )));
    }
    Ok(by)
}

fn checked_message(action: Action, message: &str) -> Result<&str> {
    let message = message.trim();
    if message.is_empty() && action == Action::Note {
        return Err(Error::Refused("an empty note".to_owned()));
    }
    if message.len() > TEXT_BYTES_MAX {
        return Err(Error::Refused(format!(
            "{} bytes of text; at most {TEXT_BYTES_MAX} are kept",
            message.len()
        )));
    }
    Ok(message)
}
