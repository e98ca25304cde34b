//! What the folders of a store remember of their objects: read on from where it was read to, and made longer. What it means says
//! [`crate::flow::store::journal`].

use super::{FlowStore, TEMPORARY, is_absent, refused, write_new};
use crate::error::Result;
use crate::flow::spec::{Sort, name};
use crate::flow::store::journal::{self, Line};
use crate::limits::FLOW_JOURNAL_BYTES_MAX;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

impl FlowStore {
    /// Reads what a folder remembers, if it is more than before.
    pub(super) fn read_journal(&mut self, folder: &Path, namespace: &str, sort: Sort) -> Result<()> {
        let known = self.catalog.folder(namespace, sort);
        let read_to = known.map(|folder| folder.journal.read_to).unwrap_or_default();
        let path = folder.join(journal::NAME);
        let (text, inode, from) = match read_on(&path, read_to) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(()),
            // What is known stays known. Nobody writes it anew for its own sake: who removes a folder would be in each other's way.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(refused("read", &path, &error)),
        };
        // What somebody is writing just now, or was killed at, is no line yet.
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |place| place + 1);
        let read_to = (inode, from + end as u64);
        self.catalog
            .handle_journal((namespace, sort), &text[..end], from == 0, read_to);
        Ok(())
    }

    /// Remembers what is there and nobody has remembered, as what a hand has edited: so the next edit of it counts, too. Where another
    /// process writes or has written, who does so itself, or where nothing can be written, it stays as it was counted.
    pub fn remember(&mut self) {
        while let Some((namespace, sort, lines)) = self.catalog.poll_unknown() {
            let Ok(_lock) = self.lock(false) else { return };
            if self.is_journal_as_read(&namespace, sort) {
                drop(self.add_to_journal(&namespace, sort, &lines));
            }
        }
    }

    fn folder_path(&self, namespace: &str, sort: Sort) -> PathBuf {
        let namespace = self.directory.join(name::encode(namespace));
        namespace.join(sort.plural())
    }

    fn is_journal_as_read(&self, namespace: &str, sort: Sort) -> bool {
        let folder = self.catalog.folder(namespace, sort);
        let read_to = folder.map_or((0, 0), |folder| folder.journal.read_to);
        match fs::metadata(self.folder_path(namespace, sort).join(journal::NAME)) {
            Ok(metadata) => (metadata.ino(), metadata.size()) == read_to,
            Err(error) => is_absent(&error),
        }
    }

    /// Makes what a folder remembers longer by these lines. Who holds the lock may, and has read it. It is not synced: if it is lost,
    /// an object counts as it says, which is the same where nexus has written it.
    pub(super) fn add_to_journal(&self, namespace: &str, sort: Sort, lines: &[Line]) -> io::Result<()> {
        let directory = self.folder_path(namespace, sort);
        let path = directory.join(journal::NAME);
        let folder = self.catalog.folder(namespace, sort);
        if let Some(folder) = folder
            && (folder.journal.is_long(lines.len()) || !path.exists())
        {
            let mut names: Vec<&str> = Vec::new();
            let objects = folder.files.iter().flat_map(|file| &file.objects);
            names.extend(objects.map(|object| &**object.name()));
            names.sort_unstable();
            let is_kept = |name: &str| names.binary_search(&name).is_ok();
            let text = folder.journal.renewed(is_kept, lines);
            let temporary = directory.join(format!("{}revisions{}", TEMPORARY.0, TEMPORARY.1));
            let _ = fs::remove_file(&temporary);
            return write_new(&temporary, &text, false).and_then(|()| fs::rename(&temporary, &path));
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        let metadata = file.metadata()?;
        let read_to = folder.map_or((0, 0), |folder| folder.journal.read_to);
        let mut text = journal::added(lines);
        if metadata.size() > 0 && (metadata.ino(), metadata.size()) != read_to {
            // After a line that was torn.
            text.insert(0, b'\n');
        }
        file.write_all(&text)
    }
}

/// What a file has beyond where it was read to, with its inode and from where on it is; nothing if there is no more.
fn read_on(path: &Path, read_to: (u64, u64)) -> io::Result<Option<(Vec<u8>, u64, u64)>> {
    // Most looks find it as it was, and open nothing.
    let metadata = fs::metadata(path)?;
    if (metadata.ino(), metadata.size()) == read_to {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let is_same = metadata.ino() == read_to.0 && metadata.size() >= read_to.1;
    let from = if is_same { read_to.1 } else { 0 };
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(FLOW_JOURNAL_BYTES_MAX as u64).read_to_end(&mut text)?;
    Ok(Some((text, metadata.ino(), from)))
}
