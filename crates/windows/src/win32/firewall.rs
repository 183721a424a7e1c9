//! Rules of Windows Firewall by its COM interfaces. Source: netfw.h, "INetFwPolicy2", "INetFwRules", "INetFwRule3".

use std::ffi::c_void;
use std::ptr;

use windows_sys::Win32::Foundation::{SysAllocString, SysFreeString, SysStringLen};
use windows_sys::Win32::System::Com::{
    CLSCTX_INPROC_SERVER, COINIT_MULTITHREADED, CoCreateInstance, CoInitializeEx, CoUninitialize,
};
use windows_sys::core::{BSTR, GUID, HRESULT};

use super::error::Win32Error;
use super::machine::{failed, machine_value, service};
use super::wide::WideString;
use crate::plan::data::FirewallRule;
use crate::setup::machine::{FirewallState, MachineError, MachineErrorKind, MachineResult, RuleState};

const POLICY: GUID = GUID::from_u128(0xe2b3c97f_6ae1_41ac_817a_f6f92166d7dd);
const I_POLICY: GUID = GUID::from_u128(0x98325047_c671_4174_8d81_defcd3f03186);
const RULE: GUID = GUID::from_u128(0x2c5bc43e_3369_4c33_ab0c_be9469677af4);
const I_RULE: GUID = GUID::from_u128(0xb21563ff_d696_4222_ab46_4e89b73ab34a);
/// NET_FW_RULE_DIR_OUT, NET_FW_ACTION_BLOCK
const OUT: i32 = 2;
const BLOCK: i32 = 0;
/// HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)
const NOT_FOUND: HRESULT = 0x8007_0002_u32.cast_signed();
/// The group under which wf.msc shows our rules.
const GROUPING: &str = "Codex Sandbox";

/// Places in the tables of methods, IUnknown's and IDispatch's seven before them.
mod at {
    pub(super) const FIREWALL_ENABLED: usize = 8;
    pub(super) const RULES: usize = 18;
    pub(super) const MODIFY_STATE: usize = 28;
    pub(super) const ADD: usize = 8;
    pub(super) const REMOVE: usize = 9;
    pub(super) const ITEM: usize = 10;
    pub(super) const NAME: usize = 7;
    pub(super) const DESCRIPTION: usize = 9;
    pub(super) const PROTOCOL: usize = 15;
    pub(super) const DIRECTION: usize = 27;
    pub(super) const ENABLED: usize = 33;
    pub(super) const GROUPING: usize = 35;
    pub(super) const PROFILES: usize = 37;
    pub(super) const ACTION: usize = 41;
    pub(super) const LOCAL_USERS: usize = 49;
}

/// COM of this thread, as long as it lives.
struct Com(bool);

impl Com {
    fn begin() -> Self {
        // SAFETY: no pointers. S_OK and S_FALSE are to be balanced; another model of this thread is as good.
        Self(unsafe { CoInitializeEx(ptr::null(), COINIT_MULTITHREADED as u32) } >= 0)
    }
}

impl Drop for Com {
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: balances the call above; all objects of this module were released before.
            unsafe { CoUninitialize() };
        }
    }
}

/// A COM object, released when dropped.
struct Object(*mut c_void);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: IUnknown::Release is the third method of every object.
        unsafe { self.method::<unsafe extern "system" fn(*mut c_void) -> u32>(2)(self.0) };
    }
}

/// A text as COM takes it, freed when dropped.
struct Text(BSTR);

impl Text {
    fn new(text: &str) -> Self {
        // Texts of ours have no NUL; one of others would be cut there.
        let text: String = text.chars().take_while(|c| *c != '\0').collect();
        let wide = WideString::new(text).expect("cut before a NUL");
        // SAFETY: a string that ends with a NUL.
        Self(unsafe { SysAllocString(wide.as_ptr()) })
    }

    fn read(&self) -> String {
        if self.0.is_null() {
            return String::new();
        }
        // SAFETY: a BSTR of which the length is asked.
        let units = unsafe { std::slice::from_raw_parts(self.0, SysStringLen(self.0) as usize) };
        String::from_utf16_lossy(units)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: ours, and null is fine.
        unsafe { SysFreeString(self.0) };
    }
}

type GetPointer = unsafe extern "system" fn(*mut c_void, *mut *mut c_void) -> HRESULT;
type GetLong = unsafe extern "system" fn(*mut c_void, *mut i32) -> HRESULT;
type PutLong = unsafe extern "system" fn(*mut c_void, i32) -> HRESULT;
type GetBool = unsafe extern "system" fn(*mut c_void, *mut i16) -> HRESULT;
type PutBool = unsafe extern "system" fn(*mut c_void, i16) -> HRESULT;
type GetText = unsafe extern "system" fn(*mut c_void, *mut BSTR) -> HRESULT;
type PutText = unsafe extern "system" fn(*mut c_void, BSTR) -> HRESULT;
type GetItem = unsafe extern "system" fn(*mut c_void, BSTR, *mut *mut c_void) -> HRESULT;
type PutObject = unsafe extern "system" fn(*mut c_void, *mut c_void) -> HRESULT;
type GetBoolOf = unsafe extern "system" fn(*mut c_void, i32, *mut i16) -> HRESULT;

impl Object {
    fn create(class: &GUID, interface: &GUID, what: &str) -> MachineResult<Self> {
        let mut object = ptr::null_mut();
        // SAFETY: two identifiers and a local.
        let result = unsafe {
            CoCreateInstance(class, ptr::null_mut(), CLSCTX_INPROC_SERVER, interface, &raw mut object)
        };
        check("CoCreateInstance", what, result)?;
        Ok(Self(object))
    }

    /// A method by its place.
    ///
    /// # Safety
    /// `F` is the type of the method at that place of the object's interface.
    unsafe fn method<F: Copy>(&self, place: usize) -> F {
        // SAFETY: an object's first word points to the table of its methods, each one pointer wide.
        unsafe {
            let table = *self.0.cast::<*const usize>();
            std::mem::transmute_copy(&*table.add(place))
        }
    }

    fn long(&self, place: usize, call: &'static str) -> MachineResult<i32> {
        let mut value = 0;
        // SAFETY: `place` is a get_ method of a LONG or an enumeration.
        check(call, "the firewall", unsafe { self.method::<GetLong>(place)(self.0, &raw mut value) })?;
        Ok(value)
    }

    fn text(&self, place: usize, call: &'static str) -> MachineResult<String> {
        let mut value = Text(ptr::null_mut());
        // SAFETY: `place` is a get_ method of a BSTR, which is ours to free.
        check(call, "the firewall", unsafe { self.method::<GetText>(place)(self.0, &raw mut value.0) })?;
        Ok(value.read())
    }

    /// Sets; the put_ method stands after the get_ method.
    fn put_long(&self, place: usize, value: i32, call: &'static str) -> MachineResult<()> {
        // SAFETY: a put_ method of a LONG or an enumeration.
        check(call, "the firewall", unsafe { self.method::<PutLong>(place + 1)(self.0, value) })
    }

    fn put_text(&self, place: usize, value: &str, call: &'static str) -> MachineResult<()> {
        let text = Text::new(value);
        // SAFETY: a put_ method of a BSTR, which copies it.
        check(call, "the firewall", unsafe { self.method::<PutText>(place + 1)(self.0, text.0) })
    }
}

fn check(call: &'static str, object: &str, result: HRESULT) -> MachineResult<()> {
    if result >= 0 {
        return Ok(());
    }
    let code = result.cast_unsigned();
    // FACILITY_WIN32 carries a Win32 error.
    let win32 = if code >> 16 == 0x8007 { code & 0xFFFF } else { code };
    let mut error = failed(call, object, &Win32Error::of(call, win32));
    // REGDB_E_CLASSNOTREG, E_NOINTERFACE, E_NOTIMPL; EPT_S_NOT_REGISTERED, ERROR_SERVICE_NOT_ACTIVE
    error.kind = match code {
        0x8004_0154 | 0x8000_4002 | 0x8000_4001 => MachineErrorKind::Unsupported,
        0x8007_06D9 | 0x8007_0426 => MachineErrorKind::NoService,
        _ => error.kind,
    };
    Err(error)
}

fn policy() -> MachineResult<Object> {
    Object::create(&POLICY, &I_POLICY, "INetFwPolicy2")
}

fn rules(policy: &Object) -> MachineResult<Object> {
    let mut rules = ptr::null_mut();
    // SAFETY: get_Rules of INetFwPolicy2; the object is ours to release.
    check("get_Rules", "INetFwPolicy2", unsafe {
        policy.method::<GetPointer>(at::RULES)(policy.0, &raw mut rules)
    })?;
    Ok(Object(rules))
}

/// The first rule of a name; the interface has no way to ask for the others but to read all of them.
pub(super) fn rules_of(name: &str) -> MachineResult<Vec<RuleState>> {
    let _com = Com::begin();
    let rules = rules(&policy()?)?;
    let (text, mut found) = (Text::new(name), ptr::null_mut());
    // SAFETY: Item of INetFwRules; the object is ours to release.
    let result = unsafe { rules.method::<GetItem>(at::ITEM)(rules.0, text.0, &raw mut found) };
    if result == NOT_FOUND {
        return Ok(Vec::new());
    }
    check("INetFwRules::Item", name, result)?;
    read(&Object(found)).map(|rule| vec![rule])
}

fn read(rule: &Object) -> MachineResult<RuleState> {
    let mut enabled = 0;
    // SAFETY: get_Enabled of INetFwRule.
    check("get_Enabled", "the firewall", unsafe {
        rule.method::<GetBool>(at::ENABLED)(rule.0, &raw mut enabled)
    })?;
    let direction = rule.long(at::DIRECTION, "get_Direction")?;
    let action = rule.long(at::ACTION, "get_Action")?;
    Ok(RuleState {
        rule: FirewallRule {
            name: rule.text(at::NAME, "get_Name")?,
            direction: if direction == OUT { "out" } else { "in" }.to_owned(),
            action: if action == BLOCK { "block" } else { "allow" }.to_owned(),
            protocol: rule.long(at::PROTOCOL, "get_Protocol")?.cast_unsigned(),
            local_user_authorized_list: rule.text(at::LOCAL_USERS, "get_LocalUserAuthorizedList")?,
        },
        description: rule.text(at::DESCRIPTION, "get_Description")?,
        profiles: rule.long(at::PROFILES, "get_Profiles")?,
        enabled: enabled != 0,
    })
}

pub(super) fn add(state: &RuleState) -> MachineResult<()> {
    let _com = Com::begin();
    let rules = rules(&policy()?)?;
    let rule = Object::create(&RULE, &I_RULE, "INetFwRule3")?;
    let RuleState { rule: FirewallRule { name, local_user_authorized_list, protocol, .. }, .. } = state;
    rule.put_text(at::NAME, name, "put_Name")?;
    rule.put_text(at::DESCRIPTION, &state.description, "put_Description")?;
    rule.put_text(at::GROUPING, GROUPING, "put_Grouping")?;
    rule.put_long(at::PROTOCOL, protocol.cast_signed(), "put_Protocol")?;
    rule.put_long(at::DIRECTION, OUT, "put_Direction")?;
    rule.put_long(at::ACTION, BLOCK, "put_Action")?;
    rule.put_long(at::PROFILES, state.profiles, "put_Profiles")?;
    rule.put_text(at::LOCAL_USERS, local_user_authorized_list, "put_LocalUserAuthorizedList")?;
    let on = if state.enabled { -1 } else { 0 };
    // SAFETY: put_Enabled of INetFwRule; VARIANT_TRUE is -1.
    check("put_Enabled", name, unsafe { rule.method::<PutBool>(at::ENABLED + 1)(rule.0, on) })?;
    // SAFETY: Add of INetFwRules, which keeps its own reference.
    check("INetFwRules::Add", name, unsafe { rules.method::<PutObject>(at::ADD)(rules.0, rule.0) })
}

pub(super) fn remove(name: &str) -> MachineResult<()> {
    let _com = Com::begin();
    let rules = rules(&policy()?)?;
    let text = Text::new(name);
    // SAFETY: Remove of INetFwRules.
    check("INetFwRules::Remove", name, unsafe { rules.method::<PutText>(at::REMOVE)(rules.0, text.0) })
}

pub(super) fn state() -> MachineResult<FirewallState> {
    let _com = Com::begin();
    let policy = policy()?;
    let mut off = 0;
    for profile in [1, 2, 4] {
        let mut on = -1;
        // SAFETY: get_FirewallEnabled of INetFwPolicy2. Where it cannot be asked it is not known to be off.
        let asked =
            unsafe { policy.method::<GetBoolOf>(at::FIREWALL_ENABLED)(policy.0, profile, &raw mut on) };
        if asked >= 0 && on == 0 {
            off |= profile;
        }
    }
    let modify_state = policy.long(at::MODIFY_STATE, "get_LocalPolicyModifyState").unwrap_or(0);
    let keys = [("DomainProfile", 1), ("StandardProfile", 2), ("PrivateProfile", 2), ("PublicProfile", 4)];
    let refuses = |name: &str| {
        let key = format!(r"SOFTWARE\Policies\Microsoft\WindowsFirewall\{name}");
        machine_value(&key, "AllowLocalPolicyMerge") == Some(0)
    };
    let no_local_rules = keys.iter().filter(|(name, _)| refuses(name)).fold(0, |all, (_, bit)| all | bit);
    // Where there is no such service, the interface alone says whether rules are kept.
    let service = match service("mpssvc") {
        Ok(running) => running,
        Err(MachineError { kind: MachineErrorKind::NotFound, .. }) => true,
        Err(error) => return Err(error),
    };
    Ok(FirewallState { service, modify_state, off, no_local_rules })
}
