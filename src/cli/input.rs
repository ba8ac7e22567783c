//! Log files of any size as windows of bytes: standard input, folders, gzip.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::bufread::MultiGzDecoder;

use crate::ingest::is_gzip;

/// Where a log is read from.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// As it is reported: the path, or `-`.
    pub(super) name: String,
    path: Option<PathBuf>,
    /// Size on disk, for the progress bar; 0 where unknown.
    pub(super) size: u64,
}

/// Makes inputs of what the command line names: `-`, files, and folders, which are walked.
///
/// # Errors
/// Something is not there, or a folder holds no file.
pub(super) fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input {
                name: "-".to_owned(),
                path: None,
                size: 0,
            });
            continue;
        }
        let known = inputs.len();
        walk(path, &mut inputs)?;
        anyhow::ensure!(
            inputs.len() > known,
            "{}: the folder holds no file",
            path.display()
        );
    }
    Ok(inputs)
}

fn walk(path: &Path, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let meta = fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    if !meta.is_dir() {
        let name = path.display().to_string();
        inputs.push(Input {
            name,
            path: Some(path.to_owned()),
            size: meta.len(),
        });
        return Ok(());
    }
    let mut children: Vec<PathBuf> = Vec::new();
    for child in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        children.push(child?.path());
    }
    children.sort();
    for child in children {
        // Links to folders may go round in circles, and a pipe never ends: neither is looked into.
        let real = child
            .symlink_metadata()
            .with_context(|| format!("read {}", child.display()))?;
        if real.is_dir() || (child.is_file()) {
            walk(&child, inputs)?;
        }
    }
    Ok(())
}

impl Input {
    /// Opens it, unpacking gzip; `read` is told how many packed bytes were read.
    pub(super) fn open<'a>(
        &self,
        read: impl Fn(u64) + Send + 'a,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        let raw: Box<dyn Read + Send> = match &self.path {
            None => Box::new(io::stdin()),
            Some(path) => Box::new(File::open(path)?),
        };
        let mut raw = BufReader::with_capacity(256 << 10, Counted { raw, read });
        if is_gzip(raw.fill_buf()?) {
            return Ok(Box::new(MultiGzDecoder::new(raw)));
        }
        Ok(Box::new(raw))
    }
}

struct Counted<R, F> {
    raw: R,
    read: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        (self.read)(count as u64);
        Ok(count)
    }
}

/// A growing view into a reader: what is not done with stays in front.
pub(super) struct Window<'a> {
    reader: Box<dyn Read + Send + 'a>,
    bytes: Vec<u8>,
    /// No more will come.
    pub(super) last: bool,
    /// What ended it, if that was no end.
    pub(super) failure: Option<io::Error>,
}

impl<'a> Window<'a> {
    pub(super) fn new(reader: Box<dyn Read + Send + 'a>) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
            last: false,
            failure: None,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads on until the window holds `size` bytes or the source ends. An error ends the source:
    /// what was read before it is still judged.
    pub(super) fn fill(&mut self, size: usize) {
        let missing = size.saturating_sub(self.bytes.len());
        if self.last || missing == 0 {
            return;
        }
        match (&mut self.reader)
            .take(missing as u64)
            .read_to_end(&mut self.bytes)
        {
            Ok(count) => self.last = count < missing,
            Err(error) => {
                self.last = true;
                self.failure = Some(error);
            }
        }
    }

    /// Lets go of the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Takes the first `count` bytes out, to be judged elsewhere.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count.min(self.bytes.len()));
        std::mem::replace(&mut self.bytes, rest)
    }
}
