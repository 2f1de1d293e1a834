//! The Engine API over its Unix socket: HTTP/1.1, a connection for each question.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// An engine that has not begun to answer after so long is broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that is read as a whole. A thousand containers take some two million.
const ANSWER_LEN_MAX: usize = 16 << 20;
/// Bytes of the engine's own words that are shown.
const WORDS_LEN_MAX: usize = 200;

/// An engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no socket.
    Absent,
    /// There is no such container (any more).
    Gone,
    /// Anything else, for people.
    Other(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such socket"),
            Self::Gone => f.write_str("there is no such container"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl Engine {
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Whether there is a socket at all.
    pub(super) fn is_there(&self) -> bool {
        self.socket.exists()
    }

    /// Asks; the head of the answer has come and is good.
    pub(super) async fn ask(&self, path: &str) -> Result<Response<Incoming>, Refusal> {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.ask_slowly(path));
        let answer = asked.await.unwrap_or_else(|_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Err(Refusal::Other(format!("no answer within {seconds} s")))
        })?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(Refusal::Gone),
            status => {
                let words = whole(answer).await.unwrap_or_default();
                Err(Refusal::Other(format!("{status}: {}", message(&words))))
            }
        }
    }

    async fn ask_slowly(&self, path: &str) -> Result<Response<Incoming>, Refusal> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| {
            use std::io::ErrorKind::{NotFound, PermissionDenied};
            match e.kind() {
                NotFound => Refusal::Absent,
                PermissionDenied => {
                    Refusal::Other(format!("{e}; who may read it is in the group docker"))
                }
                _ => Refusal::Other(e.to_string()),
            }
        })?;
        let broken = |e: hyper::Error| Refusal::Other(format!("the engine does not speak: {e}"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // It ends with the answer; what goes wrong with it is said there.
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("Host", "docker")
            .header("User-Agent", concat!("vigie/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|e| Refusal::Other(e.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    /// Asks for a short answer.
    pub(super) async fn read(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        let answer = self.ask(path).await?;
        tokio::time::timeout(ANSWER_TIMEOUT, whole(answer))
            .await
            .unwrap_or_else(|_| Err(Refusal::Other("the answer does not end".to_owned())))
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Vec<u8>, Refusal> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::Other(e.to_string()))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
        if bytes.len() > ANSWER_LEN_MAX {
            let limit = ANSWER_LEN_MAX >> 20;
            return Err(Refusal::Other(format!(
                "an answer of more than {limit} MiB"
            )));
        }
    }
    Ok(bytes)
}

/// The engine's own words in `{"message":…}`.
fn message(answer: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let words = match serde_json::from_slice::<Message>(answer) {
        Ok(found) => found.message,
        Err(_) => String::from_utf8_lossy(answer).into_owned(),
    };
    words.trim().chars().take(WORDS_LEN_MAX).collect()
}
