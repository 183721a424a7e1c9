/* A child that is no Rust program: what the lab's tests have it do. Built by the harness with mingw.
 *
 *   child edit DIR              ten kinds of edits of the files in DIR, each tried whatever became of the others
 *   child sd PATH SDDL          replaces DACL and label of a file or folder (for the tests' own preparations)
 *   child show PATH             says its DACL and label in SDDL
 *   child write PATH            creates a file, also by a path of more than 260 letters
 *   child args ARG...           says how many arguments it got, their length, and a checksum of them
 *   child chain N CMD...        starts itself N times, each in a process of its own, and then the command
 *   child linger PATH SECONDS   appends a dot to PATH ten times a second
 *   child spawn CMD...          starts a command and does not wait for it
 *   child console               says what its console is: size and code pages, then echoes lines until `quit`, and says each Ctrl-C
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>
#include <sddl.h>

static int failed(const char *what)
{
    printf("failed %s %lu\n", what, GetLastError());
    return 1;
}

static const wchar_t *in(const wchar_t *dir, const wchar_t *name)
{
    static wchar_t paths[4][1024];
    static int next;
    wchar_t *path = paths[next++ % 4];
    swprintf(path, 1024, L"%ls\\%ls", dir, name);
    return path;
}

static void put(const wchar_t *path, DWORD access, DWORD how, const char *text)
{
    HANDLE file = CreateFileW(path, access, 0, NULL, how, 0, NULL);
    DWORD done;
    if (file == INVALID_HANDLE_VALUE) { failed("open"); return; }
    if (!WriteFile(file, text, strlen(text), &done, NULL)) failed("write");
    CloseHandle(file);
}

static int edit(const wchar_t *dir)
{
    put(in(dir, L"new.txt"), GENERIC_WRITE, CREATE_NEW, "new");
    put(in(dir, L"append.txt"), FILE_APPEND_DATA, OPEN_EXISTING, "more");
    put(in(dir, L"full.txt"), GENERIC_WRITE, TRUNCATE_EXISTING, "");
    put(in(dir, L"over.txt"), GENERIC_WRITE, CREATE_ALWAYS, "other");
    if (!MoveFileW(in(dir, L"old.txt"), in(dir, L"renamed.txt"))) failed("rename");
    if (!MoveFileExW(in(dir, L"from.txt"), in(dir, L"onto.txt"), MOVEFILE_REPLACE_EXISTING)) failed("replace");
    if (!DeleteFileW(in(dir, L"gone.txt"))) failed("delete");
    if (!CreateDirectoryW(in(dir, L"made"), NULL)) failed("mkdir");
    if (!RemoveDirectoryW(in(dir, L"empty"))) failed("rmdir");
    if (!MoveFileW(in(dir, L"folder"), in(dir, L"moved"))) failed("move");
    puts("edited");
    return 0;
}

static int sd(const wchar_t *path, const wchar_t *text)
{
    PSECURITY_DESCRIPTOR descriptor;
    SECURITY_INFORMATION which = DACL_SECURITY_INFORMATION;
    if (wcsstr(text, L"S:")) which |= LABEL_SECURITY_INFORMATION;
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &descriptor, NULL))
        return failed("parse");
    if (!SetFileSecurityW(path, which, descriptor)) return failed("set");
    return 0;
}

static int show(const wchar_t *path)
{
    static char descriptor[65536];
    SECURITY_INFORMATION which = DACL_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION | OWNER_SECURITY_INFORMATION;
    wchar_t *text;
    DWORD size;
    if (!GetFileSecurityW(path, which, descriptor, sizeof(descriptor), &size)) return failed("get");
    if (!ConvertSecurityDescriptorToStringSecurityDescriptorW(descriptor, SDDL_REVISION_1, which, &text, NULL))
        return failed("print");
    printf("%ls\n", text);
    return 0;
}

static int args(int argc, wchar_t **argv)
{
    unsigned long sum = 2166136261u, units = 0;
    for (int i = 0; i < argc; i++) {
        for (const wchar_t *at = argv[i]; *at; at++, units++) sum = (sum ^ *at) * 16777619u;
        sum = (sum ^ 0xffff) * 16777619u;
    }
    printf("%d %lu %08lx\n", argc, units, sum);
    return 0;
}

/* The rest of this process' own command line after its n-th word: words without quotes and spaces, as the tests give them. */
static wchar_t *rest(int words)
{
    wchar_t *at = GetCommandLineW();
    if (*at == '"') { at = wcschr(at + 1, '"') + 1; } else { while (*at && *at != ' ') at++; }
    while (*at == ' ') at++;
    while (words--) { while (*at && *at != ' ') at++; while (*at == ' ') at++; }
    return at;
}

static int start(wchar_t *line, BOOL wait)
{
    STARTUPINFOW startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION process;
    DWORD code = 0;
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) return failed("start");
    if (wait) {
        WaitForSingleObject(process.hProcess, INFINITE);
        GetExitCodeProcess(process.hProcess, &code);
    }
    return code;
}

static int chain(int depth)
{
    static wchar_t own[1024], line[32768];
    if (!depth) return start(_wcsdup(rest(2)), TRUE);
    GetModuleFileNameW(NULL, own, 1024);
    swprintf(line, 32768, L"\"%ls\" chain %d %ls", own, depth - 1, rest(2));
    return start(line, TRUE);
}

static int linger(const wchar_t *path, int seconds)
{
    for (int i = 0; i < seconds * 10; i++) {
        put(path, FILE_APPEND_DATA, OPEN_ALWAYS, ".");
        Sleep(100);
    }
    return 0;
}

static volatile LONG last_event = -1;

static BOOL WINAPI interrupted(DWORD event)
{
    InterlockedExchange(&last_event, event);
    return TRUE;
}

static void size(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info)) { failed("size"); return; }
    printf("size %dx%d\n", info.srWindow.Right - info.srWindow.Left + 1, info.srWindow.Bottom - info.srWindow.Top + 1);
}

/* Windows gives a process the handles of its pseudo console; Wine 10 leaves them empty. */
static int attach(void)
{
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE), out = GetStdHandle(STD_OUTPUT_HANDLE);
    if (in && out) return 1;
    in = CreateFileW(L"CONIN$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    out = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    SetStdHandle(STD_INPUT_HANDLE, in);
    SetStdHandle(STD_OUTPUT_HANDLE, out);
    SetStdHandle(STD_ERROR_HANDLE, out);
    freopen("CONOUT$", "w", stdout);
    return in != INVALID_HANDLE_VALUE && out != INVALID_HANDLE_VALUE;
}

static int console(void)
{
    DWORD mode;
    wchar_t line[256];
    if (!attach()) return 9;
    SetConsoleCtrlHandler(interrupted, TRUE);
    printf("input %d output %d errors %d pages %u %u\n", GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &mode) != 0,
           GetConsoleMode(GetStdHandle(STD_OUTPUT_HANDLE), &mode) != 0, GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) != 0,
           GetConsoleCP(), GetConsoleOutputCP());
    size();
    for (;;) {
        DWORD got = 0, done, event;
        BOOL read;
        fflush(stdout);
        SetLastError(0);
        read = ReadConsoleW(GetStdHandle(STD_INPUT_HANDLE), line, 250, &got, NULL);
        /* Ctrl-C ends a read at once; its event comes in a thread of its own. */
        if (!got) Sleep(500);
        event = InterlockedExchange(&last_event, -1);
        if (event != (DWORD)-1) { printf("event %lu\n", event); continue; }
        if (!read) return failed("read");
        while (got && (line[got - 1] == '\r' || line[got - 1] == '\n')) got--;
        line[got] = 0;
        if (!wcscmp(line, L"quit")) return 7;
        if (!wcscmp(line, L"size")) { size(); continue; }
        printf("got %lu ", got);
        fflush(stdout);
        WriteConsoleW(GetStdHandle(STD_OUTPUT_HANDLE), line, got, &done, NULL);
        puts("");
    }
}

int wmain(int argc, wchar_t **argv)
{
    const wchar_t *what = argc > 1 ? argv[1] : L"";
    int more = argc - 2;
    if (!wcscmp(what, L"edit") && more == 1) return edit(argv[2]);
    if (!wcscmp(what, L"sd") && more == 2) return sd(argv[2], argv[3]);
    if (!wcscmp(what, L"show") && more == 1) return show(argv[2]);
    if (!wcscmp(what, L"write") && more == 1) { put(argv[2], GENERIC_WRITE, CREATE_NEW, "by C"); return 0; }
    if (!wcscmp(what, L"args")) return args(more, argv + 2);
    if (!wcscmp(what, L"chain") && more > 1) return chain(_wtoi(argv[2]));
    if (!wcscmp(what, L"linger") && more == 2) return linger(argv[2], _wtoi(argv[3]));
    if (!wcscmp(what, L"spawn") && more > 0) return start(_wcsdup(rest(1)), FALSE);
    if (!wcscmp(what, L"console")) return console();
    puts("what?");
    return 2;
}
