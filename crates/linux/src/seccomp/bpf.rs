//! A tiny assembler for classic BPF over `struct seccomp_data`.
//!
//! seccompiler knows no SECCOMP_RET_USER_NOTIF, which the broker needs, so the few instructions are written here.

use libc::sock_filter;

const LD_W_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JGE: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offset of `nr` in seccomp_data.
const NR: u32 = 0;
/// Offset of `arch`.
const ARCH: u32 = 4;
/// Offset of `args`.
const ARGS: u32 = 16;

/// What the filter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run the call.
    Allow,
    /// Hand it to the broker.
    Notify,
    /// Fail with this errno.
    Errno(i32),
}

impl Action {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs() & 0xffff,
        }
    }
}

/// A condition on the low 32 bits of one argument. (Each argument tested here is an `int` or `unsigned int` to the kernel,
/// which ignores the upper half; a filter that looked at all 64 bits could be fooled with them.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Any of these bits is set.
    AnyBit(u8, u32),
    /// The argument, masked, equals the value.
    MaskedEq(u8, u32, u32),
    /// The argument equals the value.
    Eq(u8, u32),
}

/// Conditions that must all hold, and what follows.
pub type Rule<'a> = (&'a [When], Action);

/// The answer for one system call number: a list of rules, and what holds when none applies.
struct Entry {
    nr: u32,
    code: Vec<sock_filter>,
}

/// The filter under construction.
///
/// The kernel runs a new filter once for every system call number, to learn which are always allowed; so numbers are
/// looked up by bisection, which also keeps the price of a tested call low.
pub struct Program {
    arch: u32,
    x32_bit: Option<u32>,
    entries: Vec<Entry>,
}

/// Numbers that are compared one by one at the end of a bisection.
const LEAF: usize = 4;

impl Program {
    /// Any other architecture, and x32, will be answered with ENOSYS.
    pub fn new(arch: u32, x32_bit: Option<u32>) -> Self {
        Self { arch, x32_bit, entries: Vec::new() }
    }

    /// `nr` always gets `action`. The first answer for a number holds.
    pub fn always(&mut self, nr: i64, action: Action) {
        self.conditional(nr, &[], action);
    }

    /// `nr` gets the action of the first rule whose conditions all hold, else `otherwise`.
    pub fn conditional(&mut self, nr: i64, rules: &[Rule<'_>], otherwise: Action) {
        let nr = nr as u32;
        if self.entries.iter().any(|entry| entry.nr == nr) {
            return;
        }
        let mut code = Vec::new();
        for (conditions, action) in rules {
            rule(&mut code, conditions, *action);
        }
        code.push(ret(otherwise));
        self.entries.push(Entry { nr, code });
    }

    /// The whole program. Numbers from `first_unknown` on get ENOSYS, all others without an entry `otherwise`.
    pub fn finish(mut self, first_unknown: u32, otherwise: Action) -> Vec<sock_filter> {
        let mut code = vec![load(ARCH), op(JEQ, 1, 0, self.arch), ret(Action::Errno(libc::ENOSYS)), load(NR)];
        let limit = self.x32_bit.map_or(first_unknown, |bit| bit.min(first_unknown));
        code.extend([op(JGE, 0, 1, limit), ret(Action::Errno(libc::ENOSYS))]);
        self.entries.sort_by_key(|entry| entry.nr);
        code.extend(bisect(&self.entries, otherwise));
        code
    }
}

fn bisect(entries: &[Entry], otherwise: Action) -> Vec<sock_filter> {
    if entries.len() <= LEAF {
        let mut code = Vec::new();
        for entry in entries {
            let skip = u8::try_from(entry.code.len()).expect("an entry has fewer than 256 instructions");
            code.push(op(JEQ, 0, skip, entry.nr));
            code.extend_from_slice(&entry.code);
        }
        code.push(ret(otherwise));
        return code;
    }
    let (low, high) = entries.split_at(entries.len() / 2);
    let low = bisect(low, otherwise);
    let jump = u32::try_from(low.len()).expect("a filter has fewer than 4096 instructions");
    let mut code = vec![op(JGE, 0, 1, high[0].nr), op(JA, 0, 0, jump)];
    code.extend(low);
    code.extend(bisect(high, otherwise));
    code
}

fn rule(code: &mut Vec<sock_filter>, conditions: &[When], action: Action) {
    let mut tests = Vec::new();
    for when in conditions {
        test(code, *when);
        tests.push(code.len() - 1);
    }
    code.push(ret(action));
    // A test that fails skips the rest of the rule.
    let end = code.len();
    for at in tests {
        code[at].jf = u8::try_from(end - at - 1).expect("a rule has fewer than 256 instructions");
    }
}

fn test(code: &mut Vec<sock_filter>, when: When) {
    // Little-endian on every architecture that we build for: the low half of an argument comes first.
    let argument = |arg: u8| load(ARGS + 8 * u32::from(arg));
    match when {
        When::AnyBit(arg, bits) => code.extend([argument(arg), op(JSET, 0, 0, bits)]),
        When::MaskedEq(arg, mask, value) => {
            code.extend([argument(arg), op(AND, 0, 0, mask), op(JEQ, 0, 0, value)]);
        }
        When::Eq(arg, value) => code.extend([argument(arg), op(JEQ, 0, 0, value)]),
    }
}

fn load(offset: u32) -> sock_filter {
    op(LD_W_ABS, 0, 0, offset)
}

fn ret(action: Action) -> sock_filter {
    op(RET, 0, 0, action.value())
}

fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Runs a program on made-up data: the reference that the tests hold the assembled filters against.
#[cfg(test)]
pub fn evaluate(program: &[sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NR => nr,
        ARCH => arch,
        _ => {
            let at = (offset - ARGS) as usize;
            (args[at / 8] >> (at % 8 * 8)) as u32
        }
    };
    let (mut at, mut a) = (0_usize, 0_u32);
    loop {
        let op = program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { op.jt } else { op.jf });
        match op.code {
            LD_W_ABS => a = word(op.k),
            AND => a &= op.k,
            JA => at += op.k as usize,
            JEQ => at += jump(a == op.k),
            JGE => at += jump(a >= op.k),
            JSET => at += jump(a & op.k != 0),
            RET => return op.k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}
