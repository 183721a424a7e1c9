//! Descriptors, as calls that make objects take them.

use std::ptr;

use nt_security::SecurityDescriptor;
use nt_security::wire::WireError;
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;

/// A self-relative descriptor and the SECURITY_ATTRIBUTES that point to it. The handle is not inheritable.
pub struct Attributes {
    /// 32-bit words, for alignment.
    _descriptor: Vec<u32>,
    attributes: SECURITY_ATTRIBUTES,
}

impl Attributes {
    /// Converts.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn new(descriptor: &SecurityDescriptor) -> Result<Self, WireError> {
        let bytes = descriptor.to_self_relative()?;
        let mut words = vec![0_u32; bytes.len().div_ceil(4)];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..chunk.len()].copy_from_slice(chunk);
            *word = u32::from_ne_bytes(four);
        }
        let attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            // The words live on the heap as long as this value.
            lpSecurityDescriptor: words.as_mut_ptr().cast(),
            bInheritHandle: 0,
        };
        Ok(Self { _descriptor: words, attributes })
    }

    /// For calls that read them.
    pub fn as_ptr(&self) -> *const SECURITY_ATTRIBUTES {
        ptr::from_ref(&self.attributes)
    }
}
