//! Reads back what a program for Windows carries: its manifest and its version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::read::pe::{
    PeFile64, ResourceDirectory, ResourceDirectoryEntryData, ResourceDirectoryTable, ResourceNameOrId,
};

/// RT_VERSION of winuser.h.
const VERSION: u16 = 16;

/// RT_MANIFEST of winuser.h.
const MANIFEST: u16 = 24;

/// The number of the manifest of a process (CREATEPROCESS_MANIFEST_RESOURCE_ID), and of the only version.
const FIRST: u16 = 1;

/// What the manifest must say.
const SETTINGS: [&str; 5] = [
    r#"level="asInvoker" uiAccess="false""#,
    ">true</longPathAware>",
    ">UTF-8</activeCodePage>",
    // Windows 10 and later
    "{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}",
    "urn:schemas-microsoft-com:asm.v1",
];

/// Checks that the program's manifest and version are there and right.
///
/// # Errors
/// The file cannot be read, is no 64-bit program for Windows, or carries something else.
pub fn check(program: &Path, version: &str) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let manifest = resource(&bytes, MANIFEST)?.context("no manifest")?;
    let manifest = std::str::from_utf8(manifest).context("the manifest is not UTF-8")?;
    if let Some(missing) = SETTINGS.into_iter().find(|setting| !manifest.contains(setting)) {
        bail!("the manifest does not say {missing}");
    }
    let found = Version::read(resource(&bytes, VERSION)?.context("no version resource")?)?;
    let name = program.file_name().context("no file name")?.to_string_lossy();
    for (what, found, wanted) in [
        ("file version", &found.file, version),
        ("ProductName", &found.text("ProductName")?, "Codex Sandbox"),
        ("OriginalFilename", &found.text("OriginalFilename")?, &name),
        ("ProductVersion", &found.text("ProductVersion")?, version),
    ] {
        if found != wanted {
            bail!("{what} is {found:?} instead of {wanted:?}");
        }
    }
    Ok(())
}

/// The first resource of a kind.
fn resource(bytes: &[u8], kind: u16) -> Result<Option<&[u8]>> {
    let file = PeFile64::parse(bytes).context("not a 64-bit program for Windows")?;
    let sections = file.section_table();
    let Some(directory) = file.data_directories().resource_directory(bytes, &sections)? else {
        return Ok(None);
    };
    let root = directory.root()?;
    let Some(names) = below(&directory, &root, kind)? else { return Ok(None) };
    let Some(languages) = below(&directory, &names, FIRST)? else { return Ok(None) };
    let Some(language) = languages.entries.first() else { return Ok(None) };
    let ResourceDirectoryEntryData::Data(data) = language.data(directory)? else {
        bail!("a resource directory of more than three levels");
    };
    let start =
        sections.pe_data_at(bytes, data.offset_to_data.get(LE)).context("a resource outside of the file")?;
    Ok(start.get(..data.size.get(LE) as usize))
}

/// The table below the entry with this number.
fn below<'data>(
    directory: &ResourceDirectory<'data>,
    table: &ResourceDirectoryTable<'data>,
    id: u16,
) -> Result<Option<ResourceDirectoryTable<'data>>> {
    let is_it = |name: ResourceNameOrId| matches!(name, ResourceNameOrId::Id(found) if found == id);
    let Some(entry) = table.entries.iter().find(|entry| is_it(entry.name_or_id())) else { return Ok(None) };
    Ok(entry.data(*directory)?.table())
}

/// A version resource (VS_VERSIONINFO).
struct Version {
    /// `major.minor.patch` of VS_FIXEDFILEINFO.
    file: String,
    /// All of it in 16-bit units: its texts are UTF-16, and all that it consists of is aligned to 32 bits.
    units: Vec<u16>,
}

impl Version {
    /// Where VS_FIXEDFILEINFO begins: after three words and `VS_VERSION_INFO` with its end, aligned. In 16-bit units.
    const FIXED: usize = 20;

    /// The signature of VS_FIXEDFILEINFO, 0xFEEF04BD, low word first.
    const SIGNATURE: [u16; 2] = [0x04BD, 0xFEEF];

    fn read(bytes: &[u8]) -> Result<Self> {
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        // The signature, the structure's version, then the file's: minor, major, build, patch.
        let Some([low, high, _, _, minor, major, _, patch]) = units.get(Self::FIXED..Self::FIXED + 8) else {
            bail!("the version resource is too short");
        };
        if [*low, *high] != Self::SIGNATURE {
            bail!("the version resource has no VS_FIXEDFILEINFO");
        }
        Ok(Self { file: format!("{major}.{minor}.{patch}"), units })
    }

    /// The text of this name (a String structure: the name, its end, alignment, the text, its end).
    fn text(&self, name: &str) -> Result<String> {
        let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let at = self.units.windows(name.len()).position(|window| window == name);
        let start = (at
            .with_context(|| format!("the version has no {}", String::from_utf16_lossy(&name)))?
            + name.len())
        .next_multiple_of(2);
        let text = self.units[start..].split(|unit| *unit == 0).next().unwrap_or_default();
        Ok(String::from_utf16_lossy(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(units: &[u16]) -> Vec<u8> {
        units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    fn version() -> Vec<u16> {
        let mut units = vec![0, 52, 0];
        units.extend("VS_VERSION_INFO".encode_utf16().chain([0, 0]));
        assert_eq!(units.len(), Version::FIXED);
        units.extend([0x04BD, 0xFEEF, 0, 1, 2, 1, 0, 3]);
        // A String structure with an odd name, so that its text must be aligned.
        units.extend([0, 0, 1]);
        units.extend("ProductNames".encode_utf16().chain([0]));
        units.extend("Codex".encode_utf16().chain([0]));
        units
    }

    #[test]
    fn number_and_texts_of_a_version_are_read() {
        let version = Version::read(&bytes(&version())).expect("it is whole");
        assert_eq!(version.file, "1.2.3");
        assert_eq!(version.text("ProductNames").expect("it is there"), "Codex");
        assert!(version.text("ProductVersion").is_err());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        let mut wrong = version();
        wrong[Version::FIXED] = 0;
        assert!(Version::read(&bytes(&wrong)).is_err());
        assert!(Version::read(&bytes(&version()[..Version::FIXED + 3])).is_err());
    }

    #[test]
    fn a_program_of_this_machine_is_refused() {
        let me = std::env::current_exe().expect("it is known");
        let error = check(&me, "0.1.0").expect_err("no manifest here");
        assert!(format!("{error:#}").contains(if cfg!(windows) {
            "manifest"
        } else {
            "not a 64-bit program"
        }));
    }
}
