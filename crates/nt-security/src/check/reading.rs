//! Points on which the published sources differ or are silent, and how the caller wants them read.

use crate::flags::bit_set;

/// How a WRITE_RESTRICTED token's second pass treats a request that mixes writing with other rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MixedReading {
    /// Every right still outstanding is checked again: the published algorithm, and the stricter reading.
    #[default]
    WholeRequest,
    /// Only the writing rights are checked again.
    PerBit,
}

/// What MAXIMUM_ALLOWED gives a WRITE_RESTRICTED token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MaximumReading {
    /// What both passes grant, and of the rights that are no writing rights all that the first pass grants.
    #[default]
    Gated,
    /// Only what both passes grant: the stricter reading.
    BothPasses,
}

/// As what a point is treated that the model cannot decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Treat {
    /// As speaking against access.
    #[default]
    Denied,
    /// As speaking for access.
    Allowed,
}

/// How each open point is read. The default is the reading that windows-facts gives as the likelier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readings {
    /// Mixed requests of WRITE_RESTRICTED tokens.
    pub mixed: MixedReading,
    /// MAXIMUM_ALLOWED of WRITE_RESTRICTED tokens.
    pub maximum: MaximumReading,
    /// Conditions of callback ACEs, which are not evaluated: `Denied` applies deny ACEs and not allow ACEs, `Allowed` the
    /// other way round.
    pub conditions: Treat,
    /// Allow ACEs with a GUID, asked about without a list of object types: `Denied` gives them no effect, `Allowed` takes
    /// them as plain allow ACEs.
    pub object_aces: Treat,
    /// Whether an inherit-only OWNER RIGHTS ACE takes the owner's implicit rights away (`true`) or not.
    pub inherit_only_owner_rights: bool,
    /// Central access policies and access filters, whose rules are not in the descriptor: `Denied` lets nothing pass them.
    pub policies: PolicyReading,
}

/// As what a rule is treated that stands elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PolicyReading {
    /// The rule would not refuse: right on machines without central policies, which is nearly all.
    #[default]
    Ignored,
    /// The rule would refuse everything.
    Refuses,
}

impl Readings {
    /// Every open point read against access.
    pub const STRICT: Self = Self {
        mixed: MixedReading::WholeRequest,
        maximum: MaximumReading::BothPasses,
        conditions: Treat::Denied,
        object_aces: Treat::Denied,
        inherit_only_owner_rights: true,
        policies: PolicyReading::Refuses,
    };

    /// Every open point read for access.
    pub const GENEROUS: Self = Self {
        mixed: MixedReading::PerBit,
        maximum: MaximumReading::Gated,
        conditions: Treat::Allowed,
        object_aces: Treat::Allowed,
        inherit_only_owner_rights: false,
        policies: PolicyReading::Ignored,
    };
}

bit_set! {
    /// Open points that a check came upon.
    Doubt: u16 {
        /// A WRITE_RESTRICTED request mixes writing with other rights
        MIXED_REQUEST = 1;
        /// MAXIMUM_ALLOWED of a WRITE_RESTRICTED token
        MAXIMUM_ALLOWED = 2;
        /// A condition was not evaluated
        CONDITION = 4;
        /// An allow ACE carries a GUID
        OBJECT_ACE = 8;
        /// An OWNER RIGHTS ACE is inherit-only
        INHERIT_ONLY_OWNER_RIGHTS = 16;
        /// A central policy or an access filter applies
        POLICY = 32;
    }
}

impl Doubt {
    /// Each point in words, for people.
    pub fn descriptions(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [(Doubt, &str); 6] = [
            (Doubt::MIXED_REQUEST, "mixed read and write request of a WRITE_RESTRICTED token"),
            (Doubt::MAXIMUM_ALLOWED, "MAXIMUM_ALLOWED of a WRITE_RESTRICTED token"),
            (Doubt::CONDITION, "condition of a callback ACE, not evaluated"),
            (Doubt::OBJECT_ACE, "allow ACE with a GUID"),
            (Doubt::INHERIT_ONLY_OWNER_RIGHTS, "inherit-only OWNER RIGHTS ACE"),
            (Doubt::POLICY, "central access policy or access filter, not in the descriptor"),
        ];
        WORDS.into_iter().filter(move |(doubt, _)| self.contains(*doubt)).map(|(_, words)| words)
    }
}
