//! The line of JSON that answers a case.

use nt_security::AccessMask;

/// A line in the making. The buffer is used again for every case.
#[derive(Debug, Default)]
pub(crate) struct Report {
    line: Vec<u8>,
    pass: Option<bool>,
}

impl Report {
    /// Starts the line of a case. `pass` is `None` if the case says nothing of what to expect.
    pub(crate) fn start(&mut self, name: Option<&str>, pass: Option<bool>) {
        self.pass = pass;
        self.line.extend_from_slice(b"{\"name\":");
        match name {
            Some(name) => push_text(&mut self.line, name),
            None => self.line.extend_from_slice(b"null"),
        }
        self.bool("pass", pass);
    }

    /// A text, or null.
    pub(crate) fn text(&mut self, key: &str, value: Option<&str>) {
        self.key(key);
        match value {
            Some(text) => push_text(&mut self.line, text),
            None => self.line.extend_from_slice(b"null"),
        }
    }

    /// A truth value, or null.
    pub(crate) fn bool(&mut self, key: &str, value: Option<bool>) {
        self.key(key);
        self.line.extend_from_slice(match value {
            Some(true) => b"true",
            Some(false) => b"false",
            None => b"null",
        });
    }

    /// A mask in eight hexadecimal digits, or null.
    pub(crate) fn mask(&mut self, key: &str, value: Option<AccessMask>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let Some(AccessMask(mask)) = value else { return self.text(key, None) };
        self.key(key);
        self.line.extend_from_slice(b"\"0x");
        for place in (0..8).rev() {
            self.line.push(DIGITS[(mask >> (4 * place) & 15) as usize]);
        }
        self.line.push(b'"');
    }

    fn key(&mut self, key: &str) {
        self.line.extend_from_slice(b",\"");
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    /// Whether the case passed.
    pub(crate) fn pass(&self) -> Option<bool> {
        self.pass
    }

    /// The finished line.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.line.extend_from_slice(b"}\n");
        &self.line
    }

    /// Makes room for the next.
    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.pass = None;
    }
}

fn push_text(line: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        serde_json::to_writer(line, text).expect("writing a text to memory cannot fail");
    }
}
