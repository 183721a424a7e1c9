//! Windows' security model as data: SIDs, ACLs, descriptors, SDDL, tokens, access checks, inheritance.
#![forbid(unsafe_code)]
