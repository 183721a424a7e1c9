//! Filters of the Windows Filtering Platform: a provider, a sublayer and persistent filters, made and removed in one
//! transaction. Source: fwpmu.h, "Windows Filtering Platform: Management".

use std::ptr;

use nt_security::SecurityDescriptor;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::NetworkManagement::WindowsFilteringPlatform::{
    FWP_ACTION_BLOCK, FWP_ACTION_PERMIT, FWP_BYTE_BLOB, FWP_CONDITION_FLAG_IS_LOOPBACK, FWP_CONDITION_VALUE0,
    FWP_MATCH_EQUAL, FWP_MATCH_FLAGS_ALL_SET, FWP_MATCH_RANGE, FWP_RANGE_TYPE, FWP_RANGE0,
    FWP_SECURITY_DESCRIPTOR_TYPE, FWP_UINT8, FWP_UINT16, FWP_UINT32, FWP_VALUE0, FWPM_CONDITION_ALE_USER_ID,
    FWPM_CONDITION_FLAGS, FWPM_CONDITION_IP_REMOTE_PORT, FWPM_FILTER_CONDITION0,
    FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT, FWPM_FILTER_FLAG_PERSISTENT, FWPM_FILTER0,
    FWPM_LAYER_ALE_AUTH_CONNECT_V4, FWPM_LAYER_ALE_AUTH_CONNECT_V6, FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
    FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V6, FWPM_PROVIDER_FLAG_PERSISTENT, FWPM_PROVIDER0,
    FWPM_SUBLAYER_FLAG_PERSISTENT, FWPM_SUBLAYER0, FwpmEngineClose0, FwpmEngineOpen0, FwpmFilterAdd0,
    FwpmFilterCreateEnumHandle0, FwpmFilterDeleteById0, FwpmFilterDestroyEnumHandle0, FwpmFilterEnum0,
    FwpmFreeMemory0, FwpmProviderAdd0, FwpmProviderDeleteByKey0, FwpmProviderGetByKey0, FwpmSubLayerAdd0,
    FwpmSubLayerDeleteByKey0, FwpmSubLayerGetByKey0, FwpmTransactionAbort0, FwpmTransactionBegin0,
    FwpmTransactionCommit0,
};
use windows_sys::core::GUID;

use super::error::Win32Error;
use super::machine::{failed, service};
use super::wide::{self, WideString};
use crate::plan::data::{WfpAction, WfpCondition, WfpFilter, WfpPlan};
use crate::setup::machine::{MachineError, MachineErrorKind, MachineResult};

/// RPC_C_AUTHN_DEFAULT
const AUTHN_DEFAULT: u32 = 0xFFFF_FFFF;
/// FWP_E_FILTER_NOT_FOUND, FWP_E_PROVIDER_NOT_FOUND, FWP_E_SUBLAYER_NOT_FOUND
const NOT_FOUND: [u32; 3] = [0x8032_0003, 0x8032_0005, 0x8032_0007];
/// How many filters are read at once.
const BATCH: u32 = 64;

/// An open session with the engine; what a transaction did that was not committed is undone when it is dropped.
struct Engine {
    handle: HANDLE,
    in_transaction: bool,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: an open engine, closed once.
        unsafe {
            if self.in_transaction {
                FwpmTransactionAbort0(self.handle);
            }
            FwpmEngineClose0(self.handle);
        }
    }
}

fn check(call: &'static str, object: &str, status: u32) -> MachineResult<()> {
    if status == 0 {
        return Ok(());
    }
    let mut error = failed(call, object, &Win32Error::of(call, status));
    if NOT_FOUND.contains(&status) {
        error.kind = MachineErrorKind::NotFound;
    }
    Err(error)
}

impl Engine {
    fn open() -> MachineResult<Self> {
        // Systems without the Base Filtering Engine (Wine) have entry points that end the process.
        match service("BFE") {
            Ok(true) => {}
            Ok(false) => {
                return Err(MachineError::new(MachineErrorKind::NoService, "FwpmEngineOpen0", "service BFE"));
            }
            Err(error) if error.kind == MachineErrorKind::NotFound => {
                return Err(MachineError::new(
                    MachineErrorKind::Unsupported,
                    "FwpmEngineOpen0",
                    "service BFE",
                ));
            }
            Err(error) => return Err(error),
        }
        let mut handle = ptr::null_mut();
        // SAFETY: no server, no identity, no session: this machine, this user, defaults.
        let status =
            unsafe { FwpmEngineOpen0(ptr::null(), AUTHN_DEFAULT, ptr::null(), ptr::null(), &raw mut handle) };
        check("FwpmEngineOpen0", "the filtering engine", status)?;
        Ok(Self { handle, in_transaction: false })
    }

    fn begin(&mut self) -> MachineResult<()> {
        // SAFETY: an open engine.
        check("FwpmTransactionBegin0", "the filtering engine", unsafe {
            FwpmTransactionBegin0(self.handle, 0)
        })?;
        self.in_transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> MachineResult<()> {
        // SAFETY: an open engine with a transaction.
        check("FwpmTransactionCommit0", "the filtering engine", unsafe {
            FwpmTransactionCommit0(self.handle)
        })?;
        self.in_transaction = false;
        Ok(())
    }

    /// Calls `look` with every filter of a provider.
    fn each_filter(&self, provider: &GUID, look: &mut dyn FnMut(&FWPM_FILTER0)) -> MachineResult<()> {
        let (call, mut list) = ("FwpmFilterEnum0", ptr::null_mut());
        // SAFETY: without a template, all filters are listed.
        check("FwpmFilterCreateEnumHandle0", "the filters", unsafe {
            FwpmFilterCreateEnumHandle0(self.handle, ptr::null(), &raw mut list)
        })?;
        let result = loop {
            let (mut entries, mut count) = (ptr::null_mut(), 0);
            // SAFETY: an open list; `entries` becomes memory of the engine, freed below.
            let status =
                unsafe { FwpmFilterEnum0(self.handle, list, BATCH, &raw mut entries, &raw mut count) };
            if let Err(error) = check(call, "the filters", status) {
                break Err(error);
            }
            for at in 0..count as usize {
                // SAFETY: the call returned `count` pointers to filters.
                let filter = unsafe { &**entries.add(at) };
                // SAFETY: null or a key in the same memory.
                if unsafe { filter.providerKey.as_ref() }.is_some_and(|key| same(key, provider)) {
                    look(filter);
                }
            }
            // SAFETY: returned by the call above.
            unsafe { FwpmFreeMemory0((&raw mut entries).cast()) };
            if count < BATCH {
                break Ok(());
            }
        };
        // SAFETY: an open list, closed once.
        unsafe { FwpmFilterDestroyEnumHandle0(self.handle, list) };
        result
    }

    /// Removes filters, sublayer and provider. Not there is fine.
    fn clear(&self, plan: &WfpPlan) -> MachineResult<()> {
        let (provider, sublayer) = (guid(&plan.provider)?, guid(&plan.sublayer)?);
        let mut ids = Vec::new();
        self.each_filter(&provider, &mut |filter| ids.push(filter.filterId))?;
        for id in ids {
            // SAFETY: an open engine.
            let status = unsafe { FwpmFilterDeleteById0(self.handle, id) };
            gone(check("FwpmFilterDeleteById0", &id.to_string(), status))?;
        }
        // SAFETY: an open engine and two keys that live through the calls.
        let (of_sublayer, of_provider) = unsafe {
            let sublayer = FwpmSubLayerDeleteByKey0(self.handle, &raw const sublayer);
            (sublayer, FwpmProviderDeleteByKey0(self.handle, &raw const provider))
        };
        gone(check("FwpmSubLayerDeleteByKey0", &plan.sublayer, of_sublayer))?;
        gone(check("FwpmProviderDeleteByKey0", &plan.provider, of_provider))
    }

    fn add(&self, plan: &WfpPlan) -> MachineResult<()> {
        let (mut provider, sublayer) = (guid(&plan.provider)?, guid(&plan.sublayer)?);
        let mut name = text("Codex Sandbox");
        let mut made = FWPM_PROVIDER0 {
            providerKey: provider,
            flags: FWPM_PROVIDER_FLAG_PERSISTENT,
            ..Default::default()
        };
        made.displayData.name = name.as_mut_ptr();
        // SAFETY: the structure and its string live through the call; no descriptor means the default one, which lets
        // administrators write.
        check("FwpmProviderAdd0", &plan.provider, unsafe {
            FwpmProviderAdd0(self.handle, &raw const made, ptr::null_mut())
        })?;
        let mut layer = FWPM_SUBLAYER0 {
            subLayerKey: sublayer,
            flags: FWPM_SUBLAYER_FLAG_PERSISTENT,
            providerKey: &raw mut provider,
            weight: plan.weight,
            ..Default::default()
        };
        layer.displayData.name = name.as_mut_ptr();
        // SAFETY: as above.
        check("FwpmSubLayerAdd0", &plan.sublayer, unsafe {
            FwpmSubLayerAdd0(self.handle, &raw const layer, ptr::null_mut())
        })?;
        plan.filters.iter().try_for_each(|filter| self.add_filter(filter, &mut provider, sublayer))
    }

    fn add_filter(&self, filter: &WfpFilter, provider: &mut GUID, sublayer: GUID) -> MachineResult<()> {
        let mut conditions = Conditions::new(&filter.conditions)?;
        let mut name = text(&filter.name);
        let mut made = FWPM_FILTER0 {
            flags: FWPM_FILTER_FLAG_PERSISTENT,
            providerKey: provider,
            layerKey: layer(&filter.layer)?,
            subLayerKey: sublayer,
            numFilterConditions: conditions.list.len() as u32,
            filterCondition: conditions.list.as_mut_ptr(),
            ..Default::default()
        };
        made.displayData.name = name.as_mut_ptr();
        made.weight.r#type = FWP_UINT8;
        made.weight.Anonymous.uint8 = filter.weight;
        made.action.r#type = match filter.action {
            WfpAction::Block => FWP_ACTION_BLOCK,
            WfpAction::Permit => FWP_ACTION_PERMIT,
        };
        if filter.action == WfpAction::Block {
            // A hard block: no filter of another sublayer lets through what this one stops.
            made.flags |= FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT;
        }
        let mut id = 0;
        // SAFETY: the structure and all that it points to live through the call.
        check("FwpmFilterAdd0", &filter.name, unsafe {
            FwpmFilterAdd0(self.handle, &raw const made, ptr::null_mut(), &raw mut id)
        })
    }
}

/// Conditions with what they point to, which does not move.
#[expect(clippy::vec_box, reason = "conditions point to what is in the boxes")]
struct Conditions {
    list: Vec<FWPM_FILTER_CONDITION0>,
    _descriptors: Vec<Vec<u8>>,
    _blobs: Vec<Box<FWP_BYTE_BLOB>>,
    _ranges: Vec<Box<FWP_RANGE0>>,
}

impl Conditions {
    fn new(conditions: &[WfpCondition]) -> MachineResult<Self> {
        let mut all =
            Self { list: Vec::new(), _descriptors: Vec::new(), _blobs: Vec::new(), _ranges: Vec::new() };
        for condition in conditions {
            let (mut made, mut value) = (FWPM_FILTER_CONDITION0::default(), FWP_CONDITION_VALUE0::default());
            match condition {
                WfpCondition::User { sddl } => {
                    let invalid = || MachineError::new(MachineErrorKind::Other, "FwpmFilterAdd0", sddl);
                    let descriptor = SecurityDescriptor::from_sddl(sddl).map_err(|_| invalid())?;
                    let mut bytes = descriptor.to_self_relative().map_err(|_| invalid())?;
                    let blob = FWP_BYTE_BLOB { size: bytes.len() as u32, data: bytes.as_mut_ptr() };
                    let mut blob = Box::new(blob);
                    made.fieldKey = FWPM_CONDITION_ALE_USER_ID;
                    made.matchType = FWP_MATCH_EQUAL;
                    value.r#type = FWP_SECURITY_DESCRIPTOR_TYPE;
                    value.Anonymous.sd = &raw mut *blob;
                    all._descriptors.push(bytes);
                    all._blobs.push(blob);
                }
                WfpCondition::Loopback => {
                    made.fieldKey = FWPM_CONDITION_FLAGS;
                    made.matchType = FWP_MATCH_FLAGS_ALL_SET;
                    value.r#type = FWP_UINT32;
                    value.Anonymous.uint32 = FWP_CONDITION_FLAG_IS_LOOPBACK;
                }
                WfpCondition::RemotePorts { from, to } => {
                    let mut range = Box::new(FWP_RANGE0 { valueLow: port(*from), valueHigh: port(*to) });
                    made.fieldKey = FWPM_CONDITION_IP_REMOTE_PORT;
                    made.matchType = FWP_MATCH_RANGE;
                    value.r#type = FWP_RANGE_TYPE;
                    value.Anonymous.rangeValue = &raw mut *range;
                    all._ranges.push(range);
                }
            }
            made.conditionValue = value;
            all.list.push(made);
        }
        Ok(all)
    }
}

fn port(number: u16) -> FWP_VALUE0 {
    let mut value = FWP_VALUE0 { r#type: FWP_UINT16, ..Default::default() };
    value.Anonymous.uint16 = number;
    value
}

fn text(text: &str) -> WideString {
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    WideString::new(text).expect("without a NUL")
}

fn same(a: &GUID, b: &GUID) -> bool {
    (a.data1, a.data2, a.data3, a.data4) == (b.data1, b.data2, b.data3, b.data4)
}

/// A key as the plan writes it.
fn guid(text: &str) -> MachineResult<GUID> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16);
    let invalid = |_| MachineError::new(MachineErrorKind::Other, "a key of the filtering platform", text);
    number.map(GUID::from_u128).map_err(invalid)
}

const LAYERS: [(&str, GUID); 4] = [
    ("ALE_AUTH_CONNECT_V4", FWPM_LAYER_ALE_AUTH_CONNECT_V4),
    ("ALE_AUTH_CONNECT_V6", FWPM_LAYER_ALE_AUTH_CONNECT_V6),
    ("ALE_RESOURCE_ASSIGNMENT_V4", FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4),
    ("ALE_RESOURCE_ASSIGNMENT_V6", FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V6),
];

fn layer(name: &str) -> MachineResult<GUID> {
    let found = LAYERS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
    found.ok_or_else(|| MachineError::new(MachineErrorKind::Other, "a layer of the filtering platform", name))
}

fn gone(result: MachineResult<()>) -> MachineResult<()> {
    match result {
        Err(error) if error.kind == MachineErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(super) fn install(plan: &WfpPlan) -> MachineResult<()> {
    let mut engine = Engine::open()?;
    engine.begin()?;
    engine.clear(plan)?;
    engine.add(plan)?;
    engine.commit()
}

pub(super) fn remove(plan: &WfpPlan) -> MachineResult<()> {
    let mut engine = Engine::open()?;
    engine.begin()?;
    engine.clear(plan)?;
    engine.commit()
}

/// Reads back what stands under the provider: in the order of the plan, what of it is there; then what is not of it.
pub(super) fn read(wanted: &WfpPlan) -> MachineResult<Option<WfpPlan>> {
    let engine = Engine::open()?;
    let (provider, sublayer) = (guid(&wanted.provider)?, guid(&wanted.sublayer)?);
    let mut found = ptr::null_mut();
    // SAFETY: an open engine, a key, and a local that becomes memory of the engine.
    let status = unsafe { FwpmProviderGetByKey0(engine.handle, &raw const provider, &raw mut found) };
    match check("FwpmProviderGetByKey0", &wanted.provider, status) {
        Err(error) if error.kind == MachineErrorKind::NotFound => return Ok(None),
        result => result?,
    }
    // SAFETY: returned by the call above.
    unsafe { FwpmFreeMemory0((&raw mut found).cast()) };
    let weight = sublayer_weight(&engine, &sublayer, &wanted.sublayer)?;
    let mut filters = Vec::new();
    engine.each_filter(&provider, &mut |filter| filters.push(read_filter(filter)))?;
    // The engine lists them in an order of its own.
    let place =
        |filter: &WfpFilter| wanted.filters.iter().position(|other| other == filter).unwrap_or(usize::MAX);
    filters.sort_by_key(place);
    let (provider, sublayer) = (wanted.provider.clone(), wanted.sublayer.clone());
    Ok(Some(WfpPlan { provider, sublayer, weight, filters }))
}

/// The weight of our sublayer; 0 when it is not there.
fn sublayer_weight(engine: &Engine, key: &GUID, shown: &str) -> MachineResult<u16> {
    let mut found = ptr::null_mut();
    // SAFETY: as in `read`.
    let status = unsafe { FwpmSubLayerGetByKey0(engine.handle, key, &raw mut found) };
    match check("FwpmSubLayerGetByKey0", shown, status) {
        Err(error) if error.kind == MachineErrorKind::NotFound => return Ok(0),
        result => result?,
    }
    // SAFETY: the call returned one sublayer, freed after it was read.
    let weight = unsafe { (*found).weight };
    // SAFETY: returned by the call above.
    unsafe { FwpmFreeMemory0((&raw mut found).cast()) };
    Ok(weight)
}

fn read_filter(filter: &FWPM_FILTER0) -> WfpFilter {
    let known = LAYERS.iter().find(|(_, key)| same(key, &filter.layerKey));
    // SAFETY: the filter's pointers lead into memory that the engine returned and that is not freed yet.
    let (name, conditions) = unsafe {
        let name = wide::read_ptr(filter.displayData.name).to_string_lossy().into_owned();
        let count = filter.numFilterConditions as usize;
        let list: &[FWPM_FILTER_CONDITION0] =
            if count == 0 { &[] } else { std::slice::from_raw_parts(filter.filterCondition, count) };
        (name, list.iter().map(|condition| read_condition(condition)).collect())
    };
    let hard = filter.flags & FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT != 0;
    let persistent = filter.flags & FWPM_FILTER_FLAG_PERSISTENT != 0;
    let blocks = filter.action.r#type == FWP_ACTION_BLOCK && hard && persistent;
    // SAFETY: the type says which member is filled.
    let weight = if filter.weight.r#type == FWP_UINT8 { unsafe { filter.weight.Anonymous.uint8 } } else { 0 };
    WfpFilter {
        name,
        layer: known.map_or("another layer", |(name, _)| *name).to_owned(),
        // A block that is not hard, or not kept, is none of ours: it reads as something that is not in the plan.
        action: if blocks { WfpAction::Block } else { WfpAction::Permit },
        weight,
        conditions,
    }
}

/// # Safety
/// The condition's pointers lead into living memory.
unsafe fn read_condition(condition: &FWPM_FILTER_CONDITION0) -> WfpCondition {
    let value = &condition.conditionValue;
    // SAFETY: the type says which member is filled, says fwptypes.h.
    unsafe {
        match value.r#type {
            FWP_SECURITY_DESCRIPTOR_TYPE => {
                let blob = &*value.Anonymous.sd;
                let bytes = std::slice::from_raw_parts(blob.data, blob.size as usize);
                let read = SecurityDescriptor::from_self_relative(bytes);
                WfpCondition::User { sddl: read.map(|descriptor| plan_form(&descriptor)).unwrap_or_default() }
            }
            FWP_UINT32 if value.Anonymous.uint32 == FWP_CONDITION_FLAG_IS_LOOPBACK => WfpCondition::Loopback,
            FWP_RANGE_TYPE => {
                let range = &*value.Anonymous.rangeValue;
                let (from, to) = (range.valueLow.Anonymous.uint16, range.valueHigh.Anonymous.uint16);
                WfpCondition::RemotePorts { from, to }
            }
            _ => WfpCondition::User { sddl: String::new() },
        }
    }
}

/// The plan's own spelling of a descriptor that lets one SID match: what it writes and what is read differ in letters only.
fn plan_form(descriptor: &SecurityDescriptor) -> String {
    let sid = match descriptor.dacl().map(|acl| acl.aces.as_slice()) {
        Some([only]) => only.sid().copied(),
        _ => None,
    };
    let written = sid.map(|sid| format!("O:LSD:(A;;CC;;;{sid})"));
    let reads_same = |text: &String| {
        SecurityDescriptor::from_sddl(text).is_ok_and(|wanted| wanted.dacl == descriptor.dacl)
    };
    written.filter(reads_same).unwrap_or_else(|| descriptor.to_sddl())
}
