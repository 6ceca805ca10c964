//! The one error type of the crate.
//!
//! A variant stands for a *remedy*: what the reader of the message has to change. A message says what was being done,
//! what was seen, what was wanted and the next step, because a notebook cell shows nothing but this one line.

use std::path::{Path, PathBuf};

/// A result whose error is [`Error`].
///
/// # Example
/// ```
/// use diabolo::data::{Images, open};
/// fn first_ten(source: &str) -> diabolo::Result<Images> {
///     open(source)?.train().first(10)
/// }
/// assert!(first_ten("no/such/folder").is_err());
/// # let _: fn() -> std::result::Result<(), diabolo::Error> = || Ok(());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, sorted by what mends it.
///
/// # Example
/// ```
/// use diabolo::Error;
/// let error = diabolo::data::open("no/such/folder").unwrap_err();
/// assert!(error.to_string().starts_with("opening no/such/folder: No such file"));
/// assert!(error.to_string().ends_with("or use one of the names scenes, surfaces, cifar10, hw10, fashion-mnist, mnist"));
/// assert!(matches!(error, Error::File { path, .. } if path.ends_with("folder")));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written: mend the path, the permissions or the disk.
    #[error("{doing} {}: {source}; {next_step}", path.display())]
    File {
        /// What was being done, as in "reading".
        doing: String,
        /// The file or folder.
        path: PathBuf,
        /// What to try next.
        next_step: String,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A file was read but does not hold what its format asks for: mend or replace the file.
    #[error("{}: found {found}, wanted {wanted}; {next_step}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        found: String,
        /// What it should hold.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// The images or labels do not allow what was asked: choose other data.
    #[error("{doing}: found {found}, wanted {wanted}; {next_step}")]
    Data {
        /// What was being done.
        doing: String,
        /// What the data are.
        found: String,
        /// What they should be.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// The architecture cannot be read or its shapes do not fit: change a number in it.
    #[error("{place}: found {found}, wanted {wanted}; {next_step}")]
    Architecture {
        /// The layer, as in "decoder layer 3, Linear(96, 32)".
        place: String,
        /// What was written there.
        found: String,
        /// What would fit.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// A setting is out of its range: change the setting.
    #[error("setting {name}: found {found}, wanted {wanted}; {next_step}")]
    Setting {
        /// The setting's name, as it is written in code.
        name: String,
        /// Its value.
        found: String,
        /// The legal values.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// The device that was asked for cannot be used: choose another, or mend its installation.
    #[error("device {wanted}: {found}; {next_step}")]
    Device {
        /// The device that was asked for.
        wanted: String,
        /// What was found instead.
        found: String,
        /// What to try next.
        next_step: String,
    },

    /// There is not as much free memory as was asked for: ask for less.
    #[error("{doing}: found {free} free, wanted {wanted} of memory; {next_step}")]
    Memory {
        /// What was being done.
        doing: String,
        /// Free memory.
        free: String,
        /// Memory that is needed at least.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// libtorch refused an operation.
    #[error("{doing}: libtorch says: {}; {}", first_line(source), remedy(source))]
    Torch {
        /// What was being done.
        doing: String,
        /// libtorch's own error.
        source: tch::TchError,
    },

    /// The user stopped the call: run the cell again when it may take its time.
    #[error("{doing}: interrupted, nothing was kept; run the cell again to have it")]
    Interrupted {
        /// What was being done.
        doing: String,
    },

    /// Processes that are to train together cannot: start them in another way.
    #[error("{doing}: found {found}, wanted {wanted}; {next_step}")]
    Processes {
        /// What was being done.
        doing: String,
        /// What the processes are.
        found: String,
        /// What they should be.
        wanted: String,
        /// What to try next.
        next_step: String,
    },

    /// A data set could not be downloaded: mend the network, or call again to go on where it ended.
    #[error("downloading {url}: {found}; {next_step}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        found: String,
        /// What to try next.
        next_step: String,
    },

    /// A figure could not be drawn.
    #[error("drawing {what}: {reason}; draw fewer or other values")]
    Draw {
        /// The figure.
        what: String,
        /// The reason.
        reason: String,
    },
}

impl Error {
    /// An [`Error::File`] for an operating system error.
    pub(crate) fn file(doing: &str, path: &Path, next_step: impl Into<String>, source: std::io::Error) -> Self {
        Self::File { doing: doing.into(), path: path.into(), next_step: next_step.into(), source }
    }

    /// An [`Error::Format`].
    pub(crate) fn format(
        path: &Path,
        found: impl Into<String>,
        wanted: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let (found, wanted) = (in_short(found), in_short(wanted));
        Self::Format { path: path.into(), found, wanted, next_step: next_step.into() }
    }

    /// An [`Error::Data`].
    pub(crate) fn data(
        doing: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let (found, wanted) = (in_short(found), in_short(wanted));
        Self::Data { doing: doing.into(), found, wanted, next_step: next_step.into() }
    }

    /// An [`Error::Setting`].
    pub(crate) fn setting(
        name: &str,
        found: impl Into<String>,
        wanted: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let (found, wanted) = (in_short(found), in_short(wanted));
        Self::Setting { name: name.into(), found, wanted, next_step: next_step.into() }
    }

    /// An [`Error::Processes`].
    pub(crate) fn processes(
        doing: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let (found, wanted) = (in_short(found), in_short(wanted));
        Self::Processes { doing: doing.into(), found, wanted, next_step: next_step.into() }
    }

    /// Says the batch size where it was too much for the memory.
    pub(crate) fn with_batch_size(self, batch_size: usize) -> Self {
        match self {
            Self::Torch { doing, source } if is_out_of_memory(&source) => {
                Self::Torch { doing: format!("{doing} with batch_size {batch_size}"), source }
            }
            other => other,
        }
    }
}

/// The known word that `word` is most likely a misspelling of, if it is like any: for "did you mean ...?".
///
/// # Example
/// ```
/// use diabolo::error::nearest;
/// assert_eq!(nearest("epoch", ["epochs", "seed"]), Some("epochs"));
/// assert_eq!(nearest("zebra", ["epochs", "seed"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LEAST_SIMILARITY: f64 = 0.7;
    let word = word.to_lowercase();
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(&word, known), known));
    let near = scored.filter(|(similarity, _)| *similarity > LEAST_SIMILARITY);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// What a file or a user wrote, of which a message shows no more than some lines.
fn in_short(text: impl Into<String>) -> String {
    const MOST_CHARACTERS: usize = 400;
    shortened(&text.into(), MOST_CHARACTERS)
}

/// The beginning of a text that is too long for a message.
pub(crate) fn shortened(text: &str, n_characters: usize) -> String {
    match text.char_indices().nth(n_characters) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// libtorch's messages carry a C++ stack trace after their first line, and tch puts its own words before it.
pub(crate) fn first_line(source: &tch::TchError) -> String {
    let message = match source {
        tch::TchError::Torch(message) => message.clone(),
        other => other.to_string(),
    };
    message.lines().next().unwrap_or_default().to_string()
}

/// What to try when libtorch refuses.
fn remedy(source: &tch::TchError) -> &'static str {
    let message = source.to_string();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if is_out_of_memory(source) {
        "choose a smaller batch_size or a smaller network, or free some memory"
    } else if says(&["CUDA", "cuDNN", "NVIDIA"]) {
        "mend the driver, or choose Device::Cpu"
    } else {
        "look for numbers that are not finite, and sizes that do not fit"
    }
}

fn is_out_of_memory(source: &tch::TchError) -> bool {
    let message = source.to_string();
    ["allocate memory", "out of memory"].iter().any(|words| message.contains(words))
}

/// Adds what was being done to libtorch's error.
pub(crate) trait TorchContext<T> {
    /// Turns a libtorch error into [`Error::Torch`].
    fn doing(self, doing: &str) -> Result<T>;
}

impl<T> TorchContext<T> for std::result::Result<T, tch::TchError> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|source| Error::Torch { doing: doing.into(), source })
    }
}
