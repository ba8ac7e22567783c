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

/// Room for bytes, of which the first ones are in use. What was written to once is not cleared again.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    room: Vec<u8>,
    used: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or_default()
    }

    /// Reads on until `size` bytes are in use; whether the source ended before.
    fn fill(&mut self, reader: &mut dyn Read, size: usize) -> io::Result<bool> {
        if self.room.len() < size {
            self.room.resize(size, 0);
        }
        while self.used < size {
            let free = self.room.get_mut(self.used..size).unwrap_or_default();
            match reader.read(free) {
                Ok(0) => return Ok(true),
                Ok(count) => self.used += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Lets go of the first `count` bytes.
    fn consume(&mut self, count: usize) {
        let count = count.min(self.used);
        self.room.copy_within(count..self.used, 0);
        self.used -= count;
    }

    /// Takes over the bytes of another from `from` on, which lets go of them.
    fn take_tail(&mut self, other: &mut Self, from: usize) {
        let tail = other.room.get(from..other.used).unwrap_or_default();
        if self.room.len() < tail.len() {
            self.room.resize(tail.len(), 0);
        }
        if let Some(start) = self.room.get_mut(..tail.len()) {
            start.copy_from_slice(tail);
        }
        self.used = tail.len();
        other.used = other.used.min(from);
    }
}

/// A growing view into a reader: what is not done with stays in front.
pub(super) struct Window<'a> {
    reader: Box<dyn Read + Send + 'a>,
    buffer: Buffer,
    /// No more will come.
    pub(super) last: bool,
    /// What ended it, if that was no end.
    pub(super) failure: Option<io::Error>,
}

impl<'a> Window<'a> {
    pub(super) fn new(reader: Box<dyn Read + Send + 'a>) -> Self {
        Self {
            reader,
            buffer: Buffer::default(),
            last: false,
            failure: None,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Reads on until the window holds `size` bytes or the source ends. An error ends the source:
    /// what was read before it is still judged.
    pub(super) fn fill(&mut self, size: usize) {
        if self.last || self.buffer.used >= size {
            return;
        }
        match self.buffer.fill(&mut self.reader, size) {
            Ok(ended) => self.last = ended,
            Err(error) => {
                self.last = true;
                self.failure = Some(error);
            }
        }
    }

    /// Lets go of the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }

    /// Gives away the first `count` bytes, to be judged elsewhere, in exchange for room.
    pub(super) fn give(&mut self, count: usize, room: &mut Buffer) {
        std::mem::swap(&mut self.buffer, room);
        self.buffer.take_tail(room, count);
    }
}
