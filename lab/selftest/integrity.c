/* Self test of the lab: integrity levels of tokens and labels of objects, large descriptors, what belongs to whom.
 * Build: x86_64-w64-mingw32-gcc -O1 -municode -o integrity.exe integrity.c -ladvapi32
 * Prints one line for each check; the exit code is the number of failures. */
#define _WIN32_WINNT 0x0a00
#include <windows.h>
#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>

#define BELOW 0x1800   /* between low and medium: the level of the sandbox */
#define OICI (OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE)
#define NO_LABEL 0xffffffff

static int failures, checks;
static const char *who = "parent";

static void check(const char *what, DWORD got, DWORD want)
{
    checks++;
    if (got != want) failures++;
    printf("%-6s %-7s %-58s got %lu want %lu\n", got == want ? "ok" : "FAIL", who, what, got, want);
    fflush(stdout);
}

static DWORD err_of(BOOL ok) { return ok ? 0 : GetLastError(); }

static DWORD open_err(const WCHAR *name, DWORD access, DWORD disp)
{
    HANDLE h = CreateFileW(name, access, 7, NULL, disp, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    DWORD err = h == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    if (!err) CloseHandle(h);
    return err;
}

static PSID level_sid(DWORD level)
{
    static struct { SID sid; } sids[4];
    static int i;
    SID *sid = &sids[i++ % 4].sid;
    SID_IDENTIFIER_AUTHORITY authority = { SECURITY_MANDATORY_LABEL_AUTHORITY };

    InitializeSid(sid, &authority, 1);
    *GetSidSubAuthority(sid, 0) = level;
    return sid;
}

/* ---- tokens */

static DWORD get_level(HANDLE token)
{
    char buf[256];
    DWORD len;

    if (!GetTokenInformation(token, TokenIntegrityLevel, buf, sizeof(buf), &len)) return NO_LABEL;
    return *GetSidSubAuthority(((TOKEN_MANDATORY_LABEL *)buf)->Label.Sid, 0);
}

static DWORD set_level(HANDLE token, DWORD level)
{
    TOKEN_MANDATORY_LABEL label = { { level_sid(level), SE_GROUP_INTEGRITY } };

    return err_of(SetTokenInformation(token, TokenIntegrityLevel, &label, sizeof(label)));
}

static DWORD run(const WCHAR *cmdline, HANDLE token)
{
    STARTUPINFOW si = { sizeof(si) };
    PROCESS_INFORMATION pi;
    WCHAR cmd[1024];
    DWORD code;

    si.dwFlags = STARTF_USESTDHANDLES;
    si.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    si.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    si.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    lstrcpyW(cmd, cmdline);
    if (!CreateProcessAsUserW(token, NULL, cmd, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi)) return 0x10000 + GetLastError();
    WaitForSingleObject(pi.hProcess, INFINITE);
    GetExitCodeProcess(pi.hProcess, &code);
    return code;
}

static DWORD run_self(const WCHAR *part, HANDLE token)
{
    WCHAR self[MAX_PATH], cmd[1024];

    GetModuleFileNameW(NULL, self, MAX_PATH);
    swprintf(cmd, 1024, L"\"%ls\" %ls", self, part);
    return run(cmd, token);
}

static HANDLE lowered_token(HANDLE token, DWORD level)
{
    HANDLE lowered;

    if (!DuplicateTokenEx(token, TOKEN_ALL_ACCESS, NULL, SecurityImpersonation, TokenPrimary, &lowered)) return NULL;
    check("lower a token", set_level(lowered, level), 0);
    return lowered;
}

/* ---- labels */

static DWORD set_label(WCHAR *name, SE_OBJECT_TYPE type, DWORD level, DWORD flags, DWORD policy)
{
    char buf[256];
    ACL *acl = (ACL *)buf;

    InitializeAcl(acl, sizeof(buf), ACL_REVISION);
    if (level != NO_LABEL) AddMandatoryAce(acl, ACL_REVISION, flags, policy, level_sid(level));
    return SetNamedSecurityInfoW(name, type, LABEL_SECURITY_INFORMATION, NULL, NULL, NULL, acl);
}

/* level of an object's label, and 0x10000 if it is inherited */
static DWORD get_label(WCHAR *name, SE_OBJECT_TYPE type)
{
    SYSTEM_MANDATORY_LABEL_ACE *ace = NULL;
    PSECURITY_DESCRIPTOR sd;
    DWORD err, ret = NO_LABEL, i;
    ACL *acl = NULL;

    if ((err = GetNamedSecurityInfoW(name, type, LABEL_SECURITY_INFORMATION, NULL, NULL, NULL, &acl, &sd))) return 0x20000 + err;
    for (i = 0; acl && i < acl->AceCount && ret == NO_LABEL; i++)
    {
        GetAce(acl, i, (void **)&ace);
        if (ace->Header.AceType != SYSTEM_MANDATORY_LABEL_ACE_TYPE || (ace->Header.AceFlags & INHERIT_ONLY_ACE)) continue;
        ret = *GetSidSubAuthority((PSID)&ace->SidStart, 0);
        if (ace->Header.AceFlags & INHERITED_ACE) ret |= 0x10000;
    }
    LocalFree(sd);
    return ret;
}

static void make_file(const WCHAR *name) { check("make a file", open_err(name, GENERIC_WRITE, CREATE_ALWAYS), 0); }

/* ---- in the process below medium */

static void child_checks(void)
{
    HANDLE token, h, pipe;
    WCHAR buf[64];
    HKEY key;
    DWORD pid;

    check("open own token", err_of(OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &token)), 0);
    check("level of the child", get_level(token), BELOW);
    check("raise own level", set_level(token, SECURITY_MANDATORY_MEDIUM_RID), ERROR_PRIVILEGE_NOT_HELD);

    check("read what has no label", open_err(L"lab-il\\plain\\f", GENERIC_READ, OPEN_EXISTING), 0);
    check("execute what has no label", open_err(L"lab-il\\plain\\f", GENERIC_EXECUTE, OPEN_EXISTING), 0);
    check("write to what has no label", open_err(L"lab-il\\plain\\f", GENERIC_WRITE, OPEN_EXISTING), 5);
    check("append to it", open_err(L"lab-il\\plain\\f", FILE_APPEND_DATA, OPEN_EXISTING), 5);
    check("change its DACL", open_err(L"lab-il\\plain\\f", WRITE_DAC, OPEN_EXISTING), 5);
    check("open it to delete", open_err(L"lab-il\\plain\\f", DELETE, OPEN_EXISTING), 5);
    check("DeleteFile", err_of(DeleteFileW(L"lab-il\\plain\\f")), 5);
    check("FILE_DELETE_CHILD of its folder", open_err(L"lab-il\\plain", FILE_DELETE_CHILD, OPEN_EXISTING), 5);
    check("move it into the workspace", err_of(MoveFileW(L"lab-il\\plain\\f", L"lab-il\\ws\\f")), 5);
    check("create beside it", open_err(L"lab-il\\plain\\new", GENERIC_WRITE, CREATE_NEW), 5);
    check("create a folder beside it", err_of(CreateDirectoryW(L"lab-il\\plain\\dir", NULL)), 5);
    check("write to a file with a NULL DACL", open_err(L"lab-il\\plain\\null", GENERIC_WRITE, OPEN_EXISTING), 5);
    check("all that may be had of it", open_err(L"lab-il\\plain\\f", MAXIMUM_ALLOWED, OPEN_EXISTING), 0);
    check("read up where that is forbidden", open_err(L"lab-il\\secret", GENERIC_READ, OPEN_EXISTING), 5);

    check("write to a labelled workspace", open_err(L"lab-il\\ws\\sub\\old", GENERIC_WRITE, OPEN_EXISTING), 0);
    check("create in it", open_err(L"lab-il\\ws\\sub\\new", GENERIC_WRITE, CREATE_NEW), 0);
    check("label of the new file", get_label(L"lab-il\\ws\\sub\\new", SE_FILE_OBJECT), BELOW | 0x10000);
    check("rename it", err_of(MoveFileW(L"lab-il\\ws\\sub\\new", L"lab-il\\ws\\moved")), 0);
    check("raise its label", set_label(L"lab-il\\ws\\moved", SE_FILE_OBJECT, 0x2000, 0, 1), ERROR_PRIVILEGE_NOT_HELD);
    check("lower its label", set_label(L"lab-il\\ws\\moved", SE_FILE_OBJECT, 0x1000, 0, 1), 0);
    check("write to what is labelled medium again", open_err(L"lab-il\\ws\\.git\\config", GENERIC_WRITE, OPEN_EXISTING), 5);
    check("create in what is labelled medium again", open_err(L"lab-il\\ws\\.git\\new", GENERIC_WRITE, CREATE_NEW), 5);
    check("read it", open_err(L"lab-il\\ws\\.git\\config", GENERIC_READ, OPEN_EXISTING), 0);
    check("create where the label isn't inheritable", open_err(L"lab-il\\flat\\new", GENERIC_WRITE, CREATE_NEW), 0);
    check("that file's label is the creator's", get_label(L"lab-il\\flat\\new", SE_FILE_OBJECT), BELOW);

    check("write to HKCU", RegCreateKeyW(HKEY_CURRENT_USER, L"Software\\LabIL\\plain", &key), 5);
    check("read HKCU", RegOpenKeyExW(HKEY_CURRENT_USER, L"Software\\LabIL", 0, KEY_READ, &key), 0);
    check("write to a labelled key", RegCreateKeyW(HKEY_CURRENT_USER, L"Software\\LabIL\\ours\\new", &key), 0);
    check("label of the new key", get_label(L"CURRENT_USER\\Software\\LabIL\\ours\\new", SE_REGISTRY_KEY) & 0xffff, BELOW);

    check("set the parent's event", err_of(OpenEventW(EVENT_MODIFY_STATE, FALSE, L"LabMediumEvent") != NULL), 5);
    check("wait for the parent's event", err_of(OpenEventW(SYNCHRONIZE, FALSE, L"LabMediumEvent") != NULL), 0);
    check("set an event that has our label", err_of(OpenEventW(EVENT_MODIFY_STATE, FALSE, L"LabLabelledEvent") != NULL), 0);
    h = CreateEventW(NULL, TRUE, FALSE, L"LabBelowEvent");
    check("make an event", err_of(h != NULL), 0);
    check("open own event again", err_of(OpenEventW(EVENT_ALL_ACCESS, FALSE, L"LabBelowEvent") != NULL), 0);
    check("CreatePipe", err_of(CreatePipe(&h, &pipe, NULL, 0)), 0);

    GetEnvironmentVariableW(L"LABPID", buf, 64);
    pid = wcstoul(buf, NULL, 10);
    check("query the parent", err_of(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid) != NULL), 0);
    check("read the parent's memory", err_of(OpenProcess(PROCESS_VM_READ, FALSE, pid) != NULL), 5);
    check("write to the parent's memory", err_of(OpenProcess(PROCESS_VM_WRITE, FALSE, pid) != NULL), 5);
    check("steal the parent's handles", err_of(OpenProcess(PROCESS_DUP_HANDLE, FALSE, pid) != NULL), 5);
    check("open own process", err_of(OpenProcess(PROCESS_ALL_ACCESS, FALSE, GetCurrentProcessId()) != NULL), 0);
    check("open own thread", err_of(OpenThread(THREAD_ALL_ACCESS, FALSE, GetCurrentThreadId()) != NULL), 0);

    SetEnvironmentVariableW(L"LABPID", (swprintf(buf, 64, L"%lu", GetCurrentProcessId()), buf));
    check("a child without another token", run_self(L"same", token), 0);
    check("a child at low", run_self(L"low", lowered_token(token, SECURITY_MANDATORY_LOW_RID)), 0);
}

static void same_checks(void)
{
    HANDLE token;

    OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token);
    check("level of the grandchild", get_level(token), BELOW);
    check("set its parent's event", err_of(OpenEventW(EVENT_MODIFY_STATE, FALSE, L"LabBelowEvent") != NULL), 0);
    check("write where its parent may not", open_err(L"lab-il\\plain\\f", GENERIC_WRITE, OPEN_EXISTING), 5);
}

static void low_checks(void)
{
    WCHAR buf[64];

    GetEnvironmentVariableW(L"LABPID", buf, 64);
    check("set the event of one above", err_of(OpenEventW(EVENT_MODIFY_STATE, FALSE, L"LabBelowEvent") != NULL), 5);
    check("write to the workspace above", open_err(L"lab-il\\ws\\sub\\old", GENERIC_WRITE, OPEN_EXISTING), 5);
    check("write to the memory of one above", err_of(OpenProcess(PROCESS_VM_WRITE, FALSE, wcstoul(buf, NULL, 10)) != NULL), 5);
    check("write to what is labelled low", open_err(L"lab-il\\ws\\moved", GENERIC_WRITE, OPEN_EXISTING), 0);
}

/* ---- in the first process */

static void setup(void)
{
    SECURITY_ATTRIBUTES sa = { sizeof(sa) };
    SECURITY_DESCRIPTOR sd;
    HKEY key;
    HANDLE h;
    char buf[256];
    ACL *acl = (ACL *)buf;

    CreateDirectoryW(L"lab-il", NULL);
    CreateDirectoryW(L"lab-il\\plain", NULL);
    CreateDirectoryW(L"lab-il\\ws", NULL);
    CreateDirectoryW(L"lab-il\\ws\\sub", NULL);
    CreateDirectoryW(L"lab-il\\ws\\.git", NULL);
    CreateDirectoryW(L"lab-il\\flat", NULL);
    make_file(L"lab-il\\plain\\f");
    make_file(L"lab-il\\plain\\null");
    make_file(L"lab-il\\ws\\sub\\old");
    make_file(L"lab-il\\ws\\.git\\config");
    make_file(L"lab-il\\secret");
    check("NULL DACL", SetNamedSecurityInfoW(L"lab-il\\plain\\null", SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, NULL, NULL), 0);

    check("no label at first", get_label(L"lab-il\\ws", SE_FILE_OBJECT), NO_LABEL);
    check("label .git", set_label(L"lab-il\\ws\\.git", SE_FILE_OBJECT, 0x2000, OICI, 1), 0);
    check("label the workspace", set_label(L"lab-il\\ws", SE_FILE_OBJECT, BELOW, OICI, 1), 0);
    check("its label", get_label(L"lab-il\\ws", SE_FILE_OBJECT), BELOW);
    check("propagated to a folder", get_label(L"lab-il\\ws\\sub", SE_FILE_OBJECT), BELOW | 0x10000);
    check("propagated to a file", get_label(L"lab-il\\ws\\sub\\old", SE_FILE_OBJECT), BELOW | 0x10000);
    check("the explicit label of .git stays", get_label(L"lab-il\\ws\\.git", SE_FILE_OBJECT), 0x2000);
    check("and is the first in .git", get_label(L"lab-il\\ws\\.git\\config", SE_FILE_OBJECT), 0x2000 | 0x10000);
    check("a label that isn't inheritable", set_label(L"lab-il\\flat", SE_FILE_OBJECT, 0x1000, 0, 1), 0);
    check("no read up", set_label(L"lab-il\\secret", SE_FILE_OBJECT, 0x2000, 0, 3), 0);
    check("a label above the own level", set_label(L"lab-il\\secret", SE_FILE_OBJECT, 0x4000, 0, 1), ERROR_PRIVILEGE_NOT_HELD);

    check("make keys", RegCreateKeyW(HKEY_CURRENT_USER, L"Software\\LabIL\\ours", &key), 0);
    check("label a key", set_label(L"CURRENT_USER\\Software\\LabIL\\ours", SE_REGISTRY_KEY, BELOW, OICI, 1), 0);

    InitializeSecurityDescriptor(&sd, SECURITY_DESCRIPTOR_REVISION);
    SetSecurityDescriptorDacl(&sd, TRUE, NULL, FALSE);
    sa.lpSecurityDescriptor = &sd;
    CreateEventW(&sa, TRUE, FALSE, L"LabMediumEvent");
    h = CreateEventW(&sa, TRUE, FALSE, L"LabLabelledEvent");
    InitializeAcl(acl, sizeof(buf), ACL_REVISION);
    AddMandatoryAce(acl, ACL_REVISION, 0, 1, level_sid(BELOW));
    check("label an event", SetSecurityInfo(h, SE_KERNEL_OBJECT, LABEL_SECURITY_INFORMATION, NULL, NULL, NULL, acl), 0);
}

static void token_checks(HANDLE token)
{
    HANDLE lowered = lowered_token(token, BELOW), other;
    char buf[512];
    DWORD len, elevated;
    PSECURITY_DESCRIPTOR sd;
    PSID owner;

    GetTokenInformation(token, TokenElevation, &elevated, sizeof(elevated), &len);
    check("own level", get_level(token), elevated ? SECURITY_MANDATORY_HIGH_RID : SECURITY_MANDATORY_MEDIUM_RID);
    check("lowered level", get_level(lowered), BELOW);
    check("raise it again", set_level(lowered, SECURITY_MANDATORY_MEDIUM_RID), ERROR_PRIVILEGE_NOT_HELD);
    DuplicateTokenEx(lowered, TOKEN_ALL_ACCESS, NULL, SecurityImpersonation, TokenImpersonation, &other);
    check("a duplicate keeps it", get_level(other), BELOW);
    check("filter it", err_of(CreateRestrictedToken(lowered, DISABLE_MAX_PRIVILEGE, 0, NULL, 0, NULL, 0, NULL, &other)), 0);
    check("a filtered one keeps it", get_level(other), BELOW);
    check("LUA_TOKEN", err_of(CreateRestrictedToken(token, LUA_TOKEN, 0, NULL, 0, NULL, 0, NULL, &other)), 0);
    check("is medium", get_level(other), SECURITY_MANDATORY_MEDIUM_RID);

    GetTokenInformation(token, TokenOwner, buf, sizeof(buf), &len);
    check("administrators own what the elevated make", IsWellKnownSid(((TOKEN_OWNER *)buf)->Owner, WinBuiltinAdministratorsSid), elevated);
    check("owner of a file", GetNamedSecurityInfoW(L"lab-il\\plain\\f", SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL, &sd), 0);
    check("is that one", EqualSid(owner, ((TOKEN_OWNER *)buf)->Owner), TRUE);
    GetTokenInformation(other, TokenOwner, buf, sizeof(buf), &len);
    check("but not what a filtered one makes", IsWellKnownSid(((TOKEN_OWNER *)buf)->Owner, WinBuiltinAdministratorsSid), 0);
}

static void large_checks(void)
{
    static char buf[60000];
    ACL *acl = (ACL *)buf, *got;
    SID_IDENTIFIER_AUTHORITY authority = { SECURITY_NT_AUTHORITY };
    PSECURITY_DESCRIPTOR sd;
    WCHAR *name = L"lab-il\\plain\\f", *moved = L"lab-il\\plain\\g";
    DWORD count;
    int i;

    for (count = 700; count; count = count > 3 ? 3 : 0)
    {
        PSID sid;

        InitializeAcl(acl, sizeof(buf), ACL_REVISION);
        for (i = 0; i < count; i++)
        {
            AllocateAndInitializeSid(&authority, 5, 21, 1, 2, 3, 1000 + i, 0, 0, 0, &sid);
            AddAccessAllowedAce(acl, ACL_REVISION, FILE_ALL_ACCESS, i ? sid : (ConvertStringSidToSidW(L"S-1-1-0", &sid), sid));
        }
        check("set a DACL", SetNamedSecurityInfoW(name, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, NULL, NULL, acl, NULL), 0);
        check("rename the file", err_of(MoveFileW(name, moved)), 0);
        check("get the DACL", GetNamedSecurityInfoW(moved, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, &got, NULL, &sd), 0);
        check("number of its ACEs", got->AceCount, count);
        check("rename it back", err_of(MoveFileW(moved, name)), 0);
        LocalFree(sd);
    }
}

int wmain(int argc, WCHAR **argv)
{
    HANDLE token;
    WCHAR pid[32], profile[MAX_PATH];

    if (argc > 1)
    {
        who = !wcscmp(argv[1], L"child") ? "child" : !wcscmp(argv[1], L"same") ? "same" : "low";
        if (!strcmp(who, "child")) child_checks();
        else if (!strcmp(who, "same")) same_checks();
        else low_checks();
        return failures;
    }
    /* in the profile: elsewhere a user has no WRITE_OWNER, which a label needs, on what he makes */
    ExpandEnvironmentStringsW(L"%USERPROFILE%", profile, MAX_PATH);
    SetCurrentDirectoryW(profile);
    setup();
    OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &token);
    token_checks(token);
    large_checks();
    swprintf(pid, 32, L"%lu", GetCurrentProcessId());
    SetEnvironmentVariableW(L"LABPID", pid);
    check("the child below medium", run_self(L"child", lowered_token(token, BELOW)), 0);
    printf("# %d checks, %d failures in this process\n", checks, failures);
    return failures;
}
