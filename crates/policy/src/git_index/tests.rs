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
            let cleaned = clean(&index(version, hash, &entries, &tree), hash).expect("git wrote it");
            let mut plain = index(version, hash, &entries, b"");
            plain.truncate(plain.len() - hash);
            assert_eq!(cleaned[..cleaned.len() - hash], plain, "version {version}: without the extension");
            assert!(clean(&index(version, hash, &[], b""), hash).is_ok());
        }
    }
    let sparse = clean(&index(3, 20, &[(b"sparse/", S_IFDIR)], SPARSE), 20).expect("git wrote it");
    assert!(sparse[..sparse.len() - 20].ends_with(SPARSE));
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
                matches!(clean(&bytes, 20), Err(IndexError::Name(_))),
                "{}",
                String::from_utf8_lossy(name)
            );
        }
    }
}

#[test]
fn a_link_above_a_file_is_refused() {
    let bytes = index(2, 20, &[(b"a", 0o120_000), (b"a-", FILE), (b"a/b", FILE)], b"");
    assert!(matches!(clean(&bytes, 20), Err(IndexError::Name(_))));
}

#[test]
fn what_two_readers_could_see_differently_is_refused() {
    let link = [&b"link"[..], &0_u32.to_be_bytes()].concat();
    assert!(matches!(clean(&index(2, 20, &[(b"a", FILE)], &link), 20), Err(IndexError::Extension(_))));
    for name in [b"IEOT", b"EOIE", b"TREE", b"UNTR", b"FSMN", b"ZZZZ"] {
        let extension = [&name[..], &3_u32.to_be_bytes(), b"abc"].concat();
        let cleaned = clean(&index(2, 20, &[(b"a", FILE)], &extension), 20).expect("it can be left out");
        assert!(!cleaned.windows(4).any(|window| window == name));
    }
    // Hidden behind a length that is wrong, in the padding, and out of order.
    let mut bytes = index(2, 20, &[(b"abc", FILE)], b"");
    bytes[HEADER + STAT + 20 + 1] = 1;
    assert!(matches!(clean(&bytes, 20), Err(IndexError::Format(_))));
    let mut bytes = index(2, 20, &[(b"abc", FILE)], b"");
    bytes[HEADER + STAT + 20 + 2 + 5] = b'/';
    assert!(matches!(clean(&bytes, 20), Err(IndexError::Format(_))));
    let bytes = index(2, 20, &[(b"b", FILE), (b"a", FILE)], b"");
    assert!(matches!(clean(&bytes, 20), Err(IndexError::Format(_))));
    // Entries that are there for one length of hashes only.
    let bytes = index(2, 20, &[(b"a", FILE)], b"");
    assert!(clean(&bytes, 32).is_err());
}

proptest! {
    #[test]
    fn anything_is_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), hash in prop_oneof![Just(20_usize), Just(32)]) {
        let _either = clean(&bytes, hash);
    }

    #[test]
    fn a_cut_index_is_no_index(cut in 1_usize..60, version in 2_u32..=4) {
        let bytes = index(version, 20, &[(b"a/b", FILE), (b"c", FILE)], b"");
        prop_assert!(clean(&bytes[..bytes.len() - cut], 20).is_err());
    }
}
