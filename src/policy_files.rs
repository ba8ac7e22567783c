//! Reads a policy, its includes and its feeds from disk. An edge: what the texts mean is [`policy`](crate::policy)'s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::feed::{MAX_BYTES, lock};
use crate::policy::{
    Compilation, FeedFile, FeedFiles, Include, MissingInclude, NoFeedFile, Source,
    compile_with_feeds, feed_files, includes,
};
use crate::sign_in::Timestamp;

/// A change within this time of the last reading may have left the file's time and length as they were.
const COARSE_CLOCK: Duration = Duration::from_secs(2);

/// A root file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadPolicyError {
    /// There is none, or it may not be read.
    #[error("read the policy {path}: {cause}{}", hint(.cause))]
    Io {
        /// The path as given.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Not UTF-8.
    #[error("read the policy {path}: it is not UTF-8 (byte {byte}); save it as UTF-8")]
    Encoding {
        /// The path as given.
        path: String,
        /// Offset of the first bad byte.
        byte: usize,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (name it with --policy FILE)",
        _ => "",
    }
}

/// The texts of a policy, as they were at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTexts {
    /// The root first.
    pub sources: Vec<Source>,
    /// Includes that brought nothing.
    pub missing: Vec<MissingInclude>,
    /// The feed files that its sets are made of.
    pub feeds: FeedFiles,
    /// What the root includes: finding that takes reading all of it, which is too much for each look at the files.
    includes: Vec<Include>,
}

impl PolicyTexts {
    /// Reads the root file and what it includes.
    ///
    /// # Errors
    /// The root file cannot be read; a missing include is a diagnostic instead.
    pub fn read(root: &Path) -> Result<Self, ReadPolicyError> {
        let source = read_source(root)?;
        let includes = includes(&source);
        let mut texts = Self::of(source, includes, |include| {
            let paths = expand(root, include)?;
            Ok(paths
                .iter()
                .map(|path| read_source(path).map_err(|error| error.to_string()))
                .collect())
        });
        texts.feeds = read_feeds(folder(root), feed_files(&texts.sources));
        Ok(texts)
    }

    /// Of a root that includes nothing and asks for no feeds.
    pub(crate) fn alone(root: Source) -> Self {
        Self::of(root, Vec::new(), |_| Ok(Vec::new()))
    }

    /// Of a root and what its includes find: an include's files, or why there are none.
    pub(crate) fn of(
        root: Source,
        includes: Vec<Include>,
        mut find: impl FnMut(&Include) -> Result<Vec<Result<Source, String>>, String>,
    ) -> Self {
        let mut missing = Vec::new();
        let mut included: Vec<Source> = Vec::new();
        for include in &includes {
            let mut miss = |problem| {
                missing.push(MissingInclude {
                    include: include.clone(),
                    problem,
                });
            };
            match find(include) {
                Err(problem) => miss(problem),
                Ok(files) => {
                    for file in files {
                        match file {
                            Ok(file) if included.iter().any(|known| known.name == file.name) => {}
                            Ok(file) => included.push(file),
                            Err(problem) => miss(problem),
                        }
                    }
                }
            }
        }
        included.insert(0, root);
        Self {
            sources: included,
            missing,
            feeds: FeedFiles::default(),
            includes,
        }
    }

    /// What the root includes.
    pub(crate) fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// Compiles them.
    pub fn compile(&self, now: Option<Timestamp>) -> Compilation {
        self.compile_with(&self.feeds, now)
    }

    /// Compiles them with other feed files than those that were read.
    pub(crate) fn compile_with(&self, feeds: &FeedFiles, now: Option<Timestamp>) -> Compilation {
        compile_with_feeds(&self.sources, now, &self.missing, feeds)
    }
}

/// The folder that includes and feeds are relative to.
pub(crate) fn folder(root: &Path) -> &Path {
    root.parent().unwrap_or(Path::new(""))
}

fn read_feeds(folder: &Path, names: Vec<String>) -> FeedFiles {
    if names.is_empty() {
        return FeedFiles::default();
    }
    let lock = match fs::read_to_string(folder.join(lock::NAME)) {
        Ok(text) => Some(Ok(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.to_string())),
    };
    let files = names.into_iter().map(|name| {
        let read = read_feed(&folder.join(&name));
        (name, read)
    });
    FeedFiles {
        files: files.collect(),
        lock,
    }
}

fn read_feed(path: &Path) -> Result<FeedFile, NoFeedFile> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => NoFeedFile::Missing,
        _ => NoFeedFile::Unreadable(error.to_string()),
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(size).is_ok_and(|size| size <= MAX_BYTES) {
        let bytes = fs::read(path).map_err(failed)?.into();
        let stands_in = false;
        return Ok(FeedFile { bytes, stands_in });
    }
    Err(too_large())
}

pub(crate) fn too_large() -> NoFeedFile {
    let limit = MAX_BYTES >> 20;
    NoFeedFile::Unreadable(format!("it is larger than {limit} MiB"))
}

fn read_source(path: &Path) -> Result<Source, ReadPolicyError> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|cause| ReadPolicyError::Io {
        path: name.clone(),
        cause,
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(ReadPolicyError::Encoding {
            path: name,
            byte: error.utf8_error().valid_up_to(),
        }),
    }
}

/// The files of one pattern, sorted, the root itself left out.
fn expand(root: &Path, include: &Include) -> Result<Vec<PathBuf>, String> {
    let Some(folder) = folder(root).to_str() else {
        return Err("it is no UTF-8 path".to_owned());
    };
    // The folder is a name, whatever brackets there are in it.
    let folder = PathBuf::from(glob::Pattern::escape(folder));
    let pattern = folder.join(&include.pattern).display().to_string();
    let own = root.canonicalize().ok();
    let found = glob::glob(&pattern).map_err(|error| format!("it is no pattern: {}", error.msg))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| format!("{} cannot be read", error.path().display()))?;
        if path.is_file() && path.canonicalize().ok() != own {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err("it matches no file".to_owned());
    }
    Ok(paths)
}

/// Tells cheaply whether a policy on disk may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    files: Vec<(PathBuf, Option<(SystemTime, u64)>)>,
    settled: bool,
}

impl Stamp {
    /// The stamp of the root, of the files that its includes find now, and of its feeds.
    pub fn of(root: &Path, texts: Option<&PolicyTexts>, now: SystemTime) -> Self {
        let mut paths = vec![root.to_owned()];
        for include in texts.into_iter().flat_map(|texts| &texts.includes) {
            paths.extend(expand(root, include).unwrap_or_default());
        }
        let feeds = texts.map(|texts| &texts.feeds.files);
        if let Some(feeds) = feeds.filter(|feeds| !feeds.is_empty()) {
            let names = feeds.keys().map(String::as_str);
            let names = names.chain([lock::NAME]);
            paths.extend(names.map(|name| folder(root).join(name)));
        }
        let mut settled = true;
        let files = paths
            .into_iter()
            .map(|path| {
                let stamp = fs::metadata(&path)
                    .ok()
                    .and_then(|meta| Some((meta.modified().ok()?, meta.len())));
                let age = stamp.and_then(|(modified, _)| now.duration_since(modified).ok());
                settled &= stamp.is_none() || age.is_some_and(|age| age > COARSE_CLOCK);
                (path, stamp)
            })
            .collect();
        Self { files, settled }
    }

    /// Whether nothing can have changed since `earlier` was taken.
    pub fn is_same(&self, earlier: &Self) -> bool {
        self.settled && earlier.settled && self.files == earlier.files
    }
}
