//! Fuzzed packages: forms, archives and compressed data become something safe or are refused, and take no more memory than
//! there is of them.

use nexus::codec::inflate::inflate;
use nexus::codec::zip::{Entry, read};
use nexus::limits::{FORM_PARTS_MAX, ZIP_BYTES_MAX, ZIP_ENTRIES_MAX, ZIP_PATH_BYTES_MAX};
use nexus::serve::api::multipart::parts;
use nexus::serve::api::package;

/// No code gives more: two bits of a length and a distance for 258 bytes.
const RATIO_MAX: usize = 1032;

fn check_entries(entries: &[Entry]) {
    assert!(entries.len() <= ZIP_ENTRIES_MAX);
    let bytes = entries.iter().flat_map(|entry| &entry.bytes).map(Vec::len);
    assert!(bytes.sum::<usize>() <= ZIP_BYTES_MAX);
    for pair in entries.windows(2) {
        assert!(pair[0].path < pair[1].path);
        let is_inside = pair[1].path.starts_with(&format!("{}/", pair[0].path));
        assert!(!is_inside || pair[0].bytes.is_none());
    }
    for Entry { path, .. } in entries {
        assert!(!path.is_empty() && path.len() <= ZIP_PATH_BYTES_MAX);
        assert!(!path.contains(['\\', '\0']));
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
}

/// The first byte says what the rest is: an archive, a form whose boundary is `b`, or compressed data that give as many bytes
/// as the next two say.
pub fn zip(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => {
            if let Ok(entries) = read(rest) {
                check_entries(&entries);
            }
        }
        1 => {
            const MEDIA_TYPE: &str = "multipart/form-data; boundary=b";
            if let Ok(found) = parts(MEDIA_TYPE, rest) {
                let bytes: usize = found.iter().map(|part| part.body.len()).sum();
                assert!(found.len() <= FORM_PARTS_MAX && bytes < rest.len());
            }
            if let Ok(package) = package(MEDIA_TYPE, rest) {
                assert!(!package.id.contains('/'));
            }
            // The same bytes say what kind of form it is.
            let _ = parts(&String::from_utf8_lossy(rest), rest);
        }
        _ => {
            let Some((size, packed)) = rest.split_first_chunk() else {
                return;
            };
            let bytes = usize::from(u16::from_le_bytes(*size));
            if let Ok(plain) = inflate(packed, bytes) {
                assert_eq!(plain.len(), bytes);
                assert!(bytes <= packed.len() * RATIO_MAX);
            }
            assert!(inflate(packed, usize::MAX).is_err());
        }
    }
}
