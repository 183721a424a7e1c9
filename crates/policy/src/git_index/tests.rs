use proptest::prelude::*;

use super::*;

/// An index as git writes it.
fn index(version: u32, hash: usize, entries: &[(&[u8], u32)], extensions: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"DIRC"[..], &version.to_be_bytes(), &(entries.len() as u32).to_be_bytes()].concat();
    let mut last: &[u8] = b"";
    for (name, mode) in entries {
        let start = bytes.len();
        let mut stat = [7_u8; STAT];
        stat[MODE_AT..MODE_AT + 4].copy_from_slice(&mode.to_be_bytes());
        bytes.extend(stat);
        bytes.extend(vec![9; hash]);
        bytes.extend((name.len().min(0xfff) as u16).to_be_bytes());
        if version == 4 {
            let common = name.iter().zip(last).take_while(|(a, b)| a == b).count();
            assert!(last.len() - common < 128, "one byte is enough in tests");
            bytes.push((last.len() - common) as u8);
            bytes.extend(&name[common..]);
            bytes.push(0);
        } else {
            bytes.extend(*name);
            bytes.resize(start + ((bytes.len() - start + 8) & !7), 0);
        }
        last = name;
    }
    bytes.extend(extensions);
    bytes.extend(vec![3; hash]);
    bytes
}

const FILE: u32 = 0o100_644;

#[test]
fn what_git_writes_is_taken() {
    let long = [b'x'; 5000];
    let entries: [(&[u8], u32); 7] = [
        (b".gitignore", FILE),
        (b"a", FILE),
        (b"a-b", FILE),
        (b"b/c/d.git/x", FILE),
        (b"b/link", 0o120_000),
        (b"sub", 0o160_000),
        (&long, FILE),
    ];
    for version in 2..=4 {
        for hash in [20, 32] {
            let tree = [&b"TREE"[..], &4_u32.to_be_bytes(), b"abcd"].concat();
            assert_eq!(check(&index(version, hash, &entries, &tree), hash), Ok(()), "version {version}");
            assert_eq!(check(&index(version, hash, &[], b""), hash), Ok(()));
        }
    }
    assert_eq!(check(&index(3, 20, &[(b"sparse/", S_IFDIR)], b"sdir\0\0\0\0"), 20), Ok(()));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        &b".git/hooks/post-checkout"[..],
        b"a/.GIT/config",
        b"../x",
        b"a/../../x",
        b"./x",
        b"/etc/x",
        b"a//b",
        b"a/",
        b"",
        b"git~1/config",
        b".git /config",
        b".git./config",
        b".git::$INDEX_ALLOCATION/config",
        b"a\\..\\b",
        ".g\u{200c}it/config".as_bytes(),
    ] {
        for version in 2..=4 {
            let bytes = index(version, 20, &[(name, FILE)], b"");
            assert!(
                matches!(check(&bytes, 20), Err(IndexError::Name(_))),
                "{}",
                String::from_utf8_lossy(name)
            );
        }
    }
}

#[test]
fn a_link_above_a_file_is_refused() {
    let bytes = index(2, 20, &[(b"a", 0o120_000), (b"a-", FILE), (b"a/b", FILE)], b"");
    assert!(matches!(check(&bytes, 20), Err(IndexError::Name(_))));
}

#[test]
fn what_two_readers_could_see_differently_is_refused() {
    let link = [&b"link"[..], &0_u32.to_be_bytes()].concat();
    let offsets = [&b"IEOT"[..], &0_u32.to_be_bytes()].concat();
    for extension in [link, offsets] {
        let bytes = index(2, 20, &[(b"a", FILE)], &extension);
        assert!(matches!(check(&bytes, 20), Err(IndexError::Extension(_))));
    }
    // Hidden behind a length that is wrong, in the padding, and out of order.
    let mut bytes = index(2, 20, &[(b"abc", FILE)], b"");
    bytes[HEADER + STAT + 20 + 1] = 1;
    assert!(matches!(check(&bytes, 20), Err(IndexError::Format(_))));
    let mut bytes = index(2, 20, &[(b"abc", FILE)], b"");
    bytes[HEADER + STAT + 20 + 2 + 5] = b'/';
    assert!(matches!(check(&bytes, 20), Err(IndexError::Format(_))));
    let bytes = index(2, 20, &[(b"b", FILE), (b"a", FILE)], b"");
    assert!(matches!(check(&bytes, 20), Err(IndexError::Format(_))));
    // Entries that are there for one length of hashes only.
    let bytes = index(2, 20, &[(b"a", FILE)], b"");
    assert!(check(&bytes, 32).is_err());
}

proptest! {
    #[test]
    fn anything_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), hash in prop_oneof![Just(20_usize), Just(32)]) {
        let _either = check(&bytes, hash);
    }

    #[test]
    fn a_cut_index_is_no_index(cut in 1_usize..60, version in 2_u32..=4) {
        let bytes = index(version, 20, &[(b"a/b", FILE), (b"c", FILE)], b"");
        prop_assert!(check(&bytes[..bytes.len() - cut], 20).is_err());
    }
}
