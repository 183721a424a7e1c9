//! A tiny assembler for classic BPF over `struct seccomp_data`.
//!
//! seccompiler knows no SECCOMP_RET_USER_NOTIF, which the broker needs, so the few instructions are written here.

use libc::sock_filter;

const LD_W_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
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

/// The program under construction. Rules are tested in the order of their addition.
#[derive(Default)]
pub struct Program {
    code: Vec<sock_filter>,
}

impl Program {
    /// Starts with the architecture test: any other entry (32-bit, x32) fails with ENOSYS.
    pub fn new(arch: u32, x32_bit: Option<u32>) -> Self {
        let mut program = Self::default();
        program.load(ARCH);
        program.op(JEQ, 1, 0, arch);
        program.ret(Action::Errno(libc::ENOSYS));
        program.load(NR);
        if let Some(bit) = x32_bit {
            program.op(JGE, 0, 1, bit);
            program.ret(Action::Errno(libc::ENOSYS));
        }
        program
    }

    /// `nr` always gets `action`.
    pub fn always(&mut self, nr: i64, action: Action) {
        self.op(JEQ, 0, 1, nr as u32);
        self.ret(action);
    }

    /// Numbers from `first` on get `action`.
    pub fn from_number(&mut self, first: u32, action: Action) {
        self.op(JGE, 0, 1, first);
        self.ret(action);
    }

    /// `nr` gets the action of the first rule whose conditions all hold, else `otherwise`.
    pub fn conditional(&mut self, nr: i64, rules: &[Rule<'_>], otherwise: Action) {
        let mut body = Self::default();
        for (conditions, action) in rules {
            body.rule(conditions, *action);
        }
        body.ret(otherwise);
        let skip = u8::try_from(body.code.len()).expect("a rule has fewer than 256 instructions");
        self.op(JEQ, 0, skip, nr as u32);
        self.code.append(&mut body.code);
    }

    /// Ends the program with the default action.
    pub fn finish(mut self, action: Action) -> Vec<sock_filter> {
        self.ret(action);
        self.code
    }

    fn rule(&mut self, conditions: &[When], action: Action) {
        let mut tests = Vec::new();
        for when in conditions {
            self.test(*when);
            tests.push(self.code.len() - 1);
        }
        self.ret(action);
        // A test that fails skips the rest of the rule.
        let end = self.code.len();
        for at in tests {
            self.code[at].jf = u8::try_from(end - at - 1).expect("a rule has fewer than 256 instructions");
        }
    }

    fn test(&mut self, when: When) {
        match when {
            When::AnyBit(arg, bits) => {
                self.load_arg(arg);
                self.op(JSET, 0, 0, bits);
            }
            When::MaskedEq(arg, mask, value) => {
                self.load_arg(arg);
                self.op(AND, 0, 0, mask);
                self.op(JEQ, 0, 0, value);
            }
            When::Eq(arg, value) => {
                self.load_arg(arg);
                self.op(JEQ, 0, 0, value);
            }
        }
    }

    fn load_arg(&mut self, arg: u8) {
        // Little-endian on every architecture that we build for: the low half comes first.
        self.load(ARGS + 8 * u32::from(arg));
    }

    fn load(&mut self, offset: u32) {
        self.op(LD_W_ABS, 0, 0, offset);
    }

    fn ret(&mut self, action: Action) {
        self.op(RET, 0, 0, action.value());
    }

    fn op(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.code.push(sock_filter { code, jt, jf, k });
    }
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
            JEQ => at += jump(a == op.k),
            JGE => at += jump(a >= op.k),
            JSET => at += jump(a & op.k != 0),
            RET => return op.k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}
