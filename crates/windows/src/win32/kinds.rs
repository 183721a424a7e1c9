//! What attributes and reparse tags say about an object.

use crate::plan::facts::NodeKind;

/// FILE_ATTRIBUTE_READONLY
const READ_ONLY: u32 = 0x1;
/// FILE_ATTRIBUTE_REPARSE_POINT
const REPARSE_POINT: u32 = 0x400;
/// FILE_ATTRIBUTE_RECALL_ON_OPEN and FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS
const RECALL: u32 = 0x44_0000;
/// IO_REPARSE_TAG_MOUNT_POINT
const MOUNT_POINT: u32 = 0xA000_0003;
/// The bit of tags that name another object (IsReparseTagNameSurrogate).
const SURROGATE: u32 = 0x2000_0000;
/// IO_REPARSE_TAG_CLOUD, in whose third nibble providers have numbers of their own.
const CLOUD: (u32, u32) = (0x9000_001A, 0xFFFF_0FFF);

/// Folder, file or link. Tags that only change how content is stored are no links.
pub(super) fn kind(is_folder: bool, attributes: u32, tag: u32) -> NodeKind {
    let is_surrogate = attributes & REPARSE_POINT != 0 && tag & SURROGATE != 0;
    match (is_surrogate, is_folder) {
        (true, _) if tag == MOUNT_POINT => NodeKind::Junction,
        (true, _) => NodeKind::Symlink,
        (false, true) => NodeKind::Folder,
        (false, false) => NodeKind::File,
    }
}

pub(super) fn is_read_only(attributes: u32) -> bool {
    attributes & READ_ONLY != 0
}

pub(super) fn is_cloud(attributes: u32, tag: u32) -> bool {
    attributes & RECALL != 0 || attributes & REPARSE_POINT != 0 && tag & CLOUD.1 == CLOUD.0
}
