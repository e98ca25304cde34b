//! A zip archive (APPNOTE 6.3) in memory: its files, if all of it is in order. Takes files that are stored or deflated, and
//! directories; no encryption, no zip64, no links. Writes no archive and touches no disk.
//!
//! The central directory says what there is. What stands before each file must say the same, and no byte may belong to two:
//! an archive that readers could understand in two ways is refused.

use crate::codec::inflate::inflate;
use crate::limits::{ZIP_BYTES_MAX, ZIP_DEPTH_MAX, ZIP_ENTRIES_MAX, ZIP_PATH_BYTES_MAX};
use std::fmt::Display;

/// A file or a directory of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs: names with `/` between them, of which none is empty, `.` or `..`; no backslash and no control byte.
    pub path: String,
    /// What is in the file; none: it is a directory.
    pub bytes: Option<Vec<u8>>,
}

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// A sentence.
    pub message: String,
    /// It may be in order, but is larger than is taken.
    pub is_too_large: bool,
}

type Read<T> = Result<T, Flaw>;

const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
const LOCATOR_BYTES: usize = 20;

/// An entry as the central directory has it.
struct Listed<'a> {
    name: &'a [u8],
    path: String,
    is_directory: bool,
    flags: u16,
    method: u16,
    sum: u32,
    packed: usize,
    bytes: usize,
    /// Where its own header stands.
    begins: usize,
}

/// The entries of an archive, ordered by path; of no path two, and what another lies in is a directory.
///
/// # Errors
/// It is none, or has something in it that is not taken.
pub fn read(archive: &[u8]) -> Read<Vec<Entry>> {
    let (mut listed, data_of_all) = list(archive)?;
    check_paths(&mut listed)?;
    let mut entries = Vec::with_capacity(listed.len());
    let mut places = Vec::with_capacity(listed.len());
    for each in &listed {
        let (data, ends) = find(data_of_all, each)?;
        places.push((each.begins, ends));
        entries.push((each, data));
    }
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(bad("the archive has two entries in one place"));
    }
    entries
        .into_iter()
        .map(|(each, data)| {
            let bytes = unpack(each, data)?;
            Ok(Entry {
                path: each.path.clone(),
                bytes: (!each.is_directory).then_some(bytes),
            })
        })
        .collect()
}

fn bad(message: impl Into<String>) -> Flaw {
    Flaw {
        message: message.into(),
        is_too_large: false,
    }
}

fn too_large(what: &str, found: impl Display, most: usize) -> Flaw {
    Flaw {
        message: format!("the archive has {found} {what}, expected at most {most}"),
        is_too_large: true,
    }
}

fn cut() -> Flaw {
    bad("the archive is cut off, or its parts are not where it says")
}

/// Reads numbers, lowest byte first, and names.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn at(bytes: &'a [u8], offset: usize) -> Read<Cursor<'a>> {
        bytes.get(offset..).map(Cursor).ok_or_else(cut)
    }

    fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, count: usize) -> Read<u32> {
        let bytes = self.bytes(count)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    fn short(&mut self) -> Read<u16> {
        Ok(self.number(2)? as u16)
    }

    fn size(&mut self) -> Read<usize> {
        match self.number(4)? {
            u32::MAX => Err(zip64()),
            size => Ok(size as usize),
        }
    }

    fn signature(&mut self, expected: &[u8; 4]) -> Read<()> {
        match self.bytes(4)? == expected {
            true => Ok(()),
            false => Err(cut()),
        }
    }
}

fn zip64() -> Flaw {
    bad("the archive is of the form zip64, which is not taken")
}

/// What the central directory lists, and all that stands before it.
fn list(archive: &[u8]) -> Read<(Vec<Listed<'_>>, &[u8])> {
    let end = find_end(archive).ok_or_else(|| bad("the data are no zip archive: they have no end of one"))?;
    if let Some(before) = end.checked_sub(LOCATOR_BYTES)
        && archive[before..].starts_with(b"PK\x06\x07")
    {
        return Err(zip64());
    }
    let mut cursor = Cursor::at(archive, end + 4)?;
    let (disk, disk_of_list) = (cursor.short()?, cursor.short()?);
    let (count, count_of_all) = (cursor.short()?, cursor.short()?);
    if disk != 0 || disk_of_list != 0 || count != count_of_all {
        return Err(bad(
            "the archive is a part of one on several disks, which is not taken",
        ));
    }
    let (bytes, begins) = (cursor.size()?, cursor.size()?);
    let count = usize::from(count);
    if count > ZIP_ENTRIES_MAX {
        return Err(too_large("entries", count, ZIP_ENTRIES_MAX));
    }
    if begins.checked_add(bytes) != Some(end) {
        return Err(cut());
    }
    let mut cursor = Cursor::at(&archive[..end], begins)?;
    let mut listed = Vec::new();
    let mut total = 0;
    for _ in 0..count {
        let entry = Listed::read(&mut cursor)?;
        if entry.begins >= begins {
            return Err(cut());
        }
        total += entry.bytes as u64;
        listed.push(entry);
    }
    if !cursor.0.is_empty() {
        return Err(bad("the archive lists more entries than it says"));
    }
    match total > ZIP_BYTES_MAX as u64 {
        true => Err(too_large("bytes when it is unpacked", total, ZIP_BYTES_MAX)),
        false => Ok((listed, &archive[..begins])),
    }
}

/// Where the record at the end begins, behind which stands nothing but its comment.
fn find_end(archive: &[u8]) -> Option<usize> {
    let last = archive.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(COMMENT_BYTES_MAX);
    (first..=last).rev().find(|at| {
        let record = &archive[*at..];
        record.starts_with(b"PK\x05\x06")
            && usize::from(u16::from_le_bytes([record[20], record[21]])) == record.len() - END_BYTES
    })
}

impl<'a> Listed<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Read<Listed<'a>> {
        cursor.signature(b"PK\x01\x02")?;
        cursor.bytes(4)?;
        let (flags, method) = (cursor.short()?, cursor.short()?);
        cursor.bytes(4)?;
        let sum = cursor.number(4)?;
        let (packed, bytes) = (cursor.size()?, cursor.size()?);
        let (name, extra, comment) = (cursor.short()?, cursor.short()?, cursor.short()?);
        let disk = cursor.short()?;
        cursor.bytes(2)?;
        let mode = cursor.number(4)? >> 16;
        let begins = cursor.size()?;
        let name = cursor.bytes(usize::from(name))?;
        cursor.bytes(usize::from(extra) + usize::from(comment))?;
        let path = read_path(name)?;
        let is_directory = name.ends_with(b"/");
        let wrong = |what: &str| Err(bad(format!("the archive's entry '{path}' {what}")));
        // Of the system's kinds of files; archives from elsewhere name none.
        match (mode & 0o170_000, is_directory) {
            (0 | 0o100_000, false) | (0 | 0o040_000, true) => {}
            (0o120_000, _) => return wrong("is a symbolic link, which is not taken"),
            (0o100_000 | 0o040_000, _) => return wrong("is said to be a file and a directory"),
            _ => return wrong("is no file and no directory"),
        }
        // Encrypted, as a patch, encrypted strongly, with a hidden header.
        match (flags & 0x2061, method) {
            (0, 0 | 8) => {}
            (0, method) => {
                return wrong(&format!(
                    "is compressed by method {method}, expected 0 (stored) or 8 (deflate)"
                ));
            }
            (0x20, _) => return wrong("is a patch, which is not taken"),
            _ => return wrong("is encrypted, which is not taken"),
        }
        if disk != 0 || is_directory && bytes > 0 || method == 0 && packed != bytes {
            return wrong("has a size or a place that can't be");
        }
        Ok(Listed {
            name,
            path,
            is_directory,
            flags,
            method,
            sum,
            packed,
            bytes,
            begins,
        })
    }
}

/// The path of a name, which must lead nowhere but into the directory that it is unpacked to, on any system.
fn read_path(name: &[u8]) -> Read<String> {
    let shown = || String::from_utf8_lossy(name).chars().take(80).collect::<String>();
    if name.len() > ZIP_PATH_BYTES_MAX {
        let message = format!(
            "the archive's entry '{}' has a name of {} bytes, expected at most {ZIP_PATH_BYTES_MAX}",
            shown(),
            name.len()
        );
        return Err(bad(message));
    }
    let wrong = |what: &str| Err(bad(format!("the archive's entry {:?} {what}", shown())));
    let Ok(text) = std::str::from_utf8(name) else {
        return wrong("has a name that is not UTF-8");
    };
    let path = text.strip_suffix('/').unwrap_or(text);
    if text.starts_with('/') {
        return wrong("has an absolute name");
    }
    if text.chars().any(|letter| letter.is_control() || letter == '\\') {
        return wrong("has a control character or a backslash in its name");
    }
    if let [drive, b':', ..] = name
        && drive.is_ascii_alphabetic()
    {
        return wrong("has the letter of a drive in its name");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong("has an empty part, '.' or '..' in its name");
    }
    // A file name of Linux is no longer.
    if path.split('/').any(|part| part.len() > 255) || path.split('/').count() > ZIP_DEPTH_MAX {
        return wrong("has a part that is too long in its name, or too many parts");
    }
    Ok(path.to_string())
}

/// Orders entries by path. No path may be there twice, nor be a file in which others lie.
fn check_paths(listed: &mut [Listed]) -> Read<()> {
    listed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = listed.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(bad(format!("the archive has '{}' twice", pair[0].path)));
    }
    let is_file = |path: &str| {
        let found = listed.binary_search_by(|each| each.path.as_str().cmp(path));
        found.is_ok_and(|place| !listed[place].is_directory)
    };
    for each in listed.iter() {
        let mut parents = each.path.match_indices('/').map(|(at, _)| &each.path[..at]);
        if let Some(parent) = parents.find(|parent| is_file(parent)) {
            let message = format!("the archive has '{parent}' as a file and as a directory");
            return Err(bad(message));
        }
    }
    Ok(())
}

/// The packed bytes of an entry, and where they end.
fn find<'a>(archive: &'a [u8], entry: &Listed) -> Read<(&'a [u8], usize)> {
    const DESCRIPTOR: u16 = 8;
    let mut cursor = Cursor::at(archive, entry.begins)?;
    cursor.signature(b"PK\x03\x04")?;
    cursor.bytes(2)?;
    let (flags, method) = (cursor.short()?, cursor.short()?);
    cursor.bytes(4)?;
    let sizes = (cursor.number(4)?, cursor.size()?, cursor.size()?);
    let (name, extra) = (cursor.short()?, cursor.short()?);
    let name = cursor.bytes(usize::from(name))?;
    cursor.bytes(usize::from(extra))?;
    let data = cursor.bytes(entry.packed)?;
    // Where a descriptor follows, sizes and sum stand there; only the list is believed.
    let has_same_sizes = flags & DESCRIPTOR != 0 || sizes == (entry.sum, entry.packed, entry.bytes);
    if name != entry.name || method != entry.method || (flags ^ entry.flags) & 0x2061 != 0 || !has_same_sizes
    {
        let message = format!("the archive says two different things of '{}'", entry.path);
        return Err(bad(message));
    }
    Ok((data, archive.len() - cursor.0.len()))
}

fn unpack(entry: &Listed, data: &[u8]) -> Read<Vec<u8>> {
    let wrong = |what: &str| bad(format!("the archive's entry '{}': {what}", entry.path));
    let bytes = match entry.method {
        0 => data.to_vec(),
        _ => inflate(data, entry.bytes).map_err(wrong)?,
    };
    match crc32(&bytes) == entry.sum {
        true => Ok(bytes),
        false => Err(wrong("its checksum is another one, so it is damaged")),
    }
}

/// CRC-32: polynomial 0x04c11db7, from the lowest bit on.
fn crc32(bytes: &[u8]) -> u32 {
    let next = |sum: u32, byte: &u8| (sum >> 8) ^ CRC_STEPS[usize::from(sum as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, next)
}

/// What eight steps of the division do to a byte.
static CRC_STEPS: [u32; 256] = {
    let mut steps = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
            bit += 1;
        }
        steps[byte] = sum;
        byte += 1;
    }
    steps
};

#[cfg(test)]
mod tests {
    use super::*;

    struct Made {
        name: &'static [u8],
        data: &'static [u8],
        bytes: u32,
        sum: u32,
        method: u16,
        flags: u16,
        mode: u32,
    }

    /// A file that is stored.
    fn file(name: &'static str, data: &'static str) -> Made {
        Made {
            name: name.as_bytes(),
            data: data.as_bytes(),
            bytes: data.len() as u32,
            sum: crc32(data.as_bytes()),
            method: 0,
            flags: 0,
            mode: if name.ends_with('/') { 0 } else { 0o100_644 },
        }
    }

    fn with(change: impl FnOnce(&mut Made)) -> Vec<Made> {
        let mut made = file("a", "abc");
        change(&mut made);
        vec![made]
    }

    fn push(out: &mut Vec<u8>, shorts: &[u16]) {
        out.extend(shorts.iter().flat_map(|short| short.to_le_bytes()));
    }

    fn archive(entries: &[Made]) -> Vec<u8> {
        let (mut out, mut list) = (Vec::new(), Vec::new());
        for made in entries {
            let begins = out.len() as u32;
            let mut fields = Vec::new();
            push(&mut fields, &[20, made.flags, made.method, 0, 0]);
            fields.extend(made.sum.to_le_bytes());
            fields.extend((made.data.len() as u32).to_le_bytes());
            fields.extend(made.bytes.to_le_bytes());
            push(&mut fields, &[made.name.len() as u16, 0]);
            out.extend([&b"PK\x03\x04"[..], &fields, made.name, made.data].concat());
            list.extend([b"PK\x01\x02\x14\x03", &fields[..]].concat());
            push(&mut list, &[0, 0, 0]);
            list.extend((made.mode << 16).to_le_bytes());
            list.extend(begins.to_le_bytes());
            list.extend(made.name);
        }
        let (count, begins) = (entries.len() as u16, out.len() as u32);
        out.extend([&list[..], b"PK\x05\x06"].concat());
        push(&mut out, &[0, 0, count, count]);
        out.extend((list.len() as u32).to_le_bytes());
        out.extend(begins.to_le_bytes());
        push(&mut out, &[0]);
        out
    }

    fn check(archive: &[u8], expected: &str) {
        let found = match read(archive) {
            Ok(entries) => {
                let shown = entries.iter().map(|entry| match &entry.bytes {
                    Some(bytes) => format!("{}={}", entry.path, bytes.escape_ascii()),
                    None => format!("{}/", entry.path),
                });
                shown.collect::<Vec<_>>().join(" ")
            }
            Err(flaw) => flaw.message,
        };
        assert!(found.contains(expected), "'{expected}' is not in '{found}'");
    }

    #[test]
    fn sums() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn files_and_directories() {
        check(&archive(&[]), "");
        let mut directory = file("d/", "");
        directory.mode = 0o040_755;
        check(
            &archive(&[file("d/é.py", "x"), directory, file("a", "")]),
            "a= d/ d/é.py=x",
        );
        let deflated = with(|made| {
            made.method = 8;
            made.data = b"\x4b\x4c\x4a\x06\x00";
        });
        check(&archive(&deflated), "a=abc");
        let mut commented = archive(&[file("a", "abc")]);
        let at = commented.len() - 2;
        commented[at] = 3;
        check(&commented, "no zip archive");
        commented.extend(b"PK!");
        check(&commented, "a=abc");
    }

    #[test]
    fn names_that_lead_elsewhere() {
        for (name, expected) in [
            ("/etc/passwd", "absolute"),
            ("../a", "empty part, '.' or '..'"),
            ("a/../../b", "empty part, '.' or '..'"),
            ("./a", "empty part, '.' or '..'"),
            ("a//b", "empty part, '.' or '..'"),
            ("", "empty part, '.' or '..'"),
            ("/", "absolute"),
            ("a//", "empty part, '.' or '..'"),
            ("a\\..\\b", "backslash"),
            ("C:/a", "letter of a drive"),
            ("c:a", "letter of a drive"),
            ("a\0b", "control character"),
            ("a\nb", "control character"),
        ] {
            check(&archive(&[file(name, "")]), expected);
        }
        let long: &'static str = "a/".repeat(ZIP_DEPTH_MAX + 1).leak();
        check(&archive(&[file(long, "")]), "too many parts");
        check(&archive(&[file("a".repeat(256).leak(), "")]), "too long");
        let long = "a/".repeat(ZIP_PATH_BYTES_MAX).leak();
        check(&archive(&[file(long, "")]), "a name of 2048 bytes");
        check(&archive(&with(|made| made.name = b"\xe9")), "not UTF-8");
        check(&archive(&[file("a", ""), file("a", "")]), "'a' twice");
        check(&archive(&[file("a/", ""), file("a", "")]), "'a' twice");
        check(
            &archive(&[file("a/b/c", ""), file("a", ""), file("a!", "")]),
            "'a' as a file and as a directory",
        );
    }

    #[test]
    fn what_is_not_taken() {
        let check_with = |change: &dyn Fn(&mut Made), expected| check(&archive(&with(change)), expected);
        check_with(&|made| made.mode = 0o120_777, "a symbolic link");
        check_with(&|made| made.mode = 0o020_666, "no file and no directory");
        check_with(&|made| made.mode = 0o040_755, "a file and a directory");
        check_with(&|made| made.flags = 1, "encrypted");
        check_with(&|made| made.flags = 0x2041, "encrypted");
        check_with(&|made| made.flags = 0x20, "a patch");
        check_with(&|made| made.method = 12, "method 12");
        check_with(&|made| made.sum = 1, "its checksum is another one");
        check_with(&|made| made.bytes = 4, "a size or a place that can't be");
        check_with(&|made| made.bytes = u32::MAX, "zip64");
        let claims = |made: &mut Made| {
            made.method = 8;
            made.bytes = u32::MAX - 1;
        };
        check_with(&claims, "bytes when it is unpacked, expected at most");
        assert!(read(&archive(&with(claims))).is_err_and(|flaw| flaw.is_too_large));
        let none = |made: &mut Made| made.method = 8;
        check_with(&none, "compressed data");
    }

    #[test]
    fn archives_of_two_meanings() {
        let whole = archive(&[file("a", "abc"), file("b", "abc")]);
        check(&whole, "a=abc b=abc");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        check(&[b"!", &whole[..]].concat(), "not where it says");
        // The name before a file, and the size.
        for at in [30, 18, 26] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(read(&other).is_err(), "{at}");
        }
        // The second entry is where the first is.
        let mut other = whole.clone();
        let second = whole
            .windows(4)
            .rposition(|found| found == b"PK\x01\x02")
            .unwrap();
        other[second + 42..second + 46].fill(0);
        other[second + 46] = b'a';
        check(&other, "'a' twice");
        let place = whole.len() - END_BYTES;
        for (at, expected) in [
            (4, "several disks"),
            (8, "several disks"),
            (12, "not where it says"),
        ] {
            let mut other = whole.clone();
            other[place + at] ^= 1;
            check(&other, expected);
        }
        let mut zip64 = whole.clone();
        zip64.splice(place..place, *b"PK\x06\x07................");
        check(&zip64, "zip64");
    }
}
