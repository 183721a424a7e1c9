/*
 * What the set-up's tests ask of the lab, without a line of the project's own code.
 *
 *   probe unseal FILE                 unseals a password and prints domain, user and SID; fails without our entropy
 *   probe logon FILE TYPE             logs on with it (2 interactive, 3 network): the Win32 error
 *   probe as FILE WORDS...            runs `probe WORDS...` as that account, and waits
 *   probe udp ADDRESS PORT            sends a datagram: the Winsock error
 *   probe tcp ADDRESS PORT            connects: the Winsock error
 *   probe read PATH | write PATH | list PATH | delete PATH     the Win32 error
 *   probe sddl PATH                   owner, DACL and label of everything at and below it, one line each
 *   probe rights SID                  its account rights
 *   probe password NAME | flags NAME  changes an account, as somebody else would
 *   probe adduser NAME                makes an account, as somebody else would
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <aclapi.h>
#include <dpapi.h>
#include <lm.h>
#include <ntsecapi.h>
#include <sddl.h>
#include <stdio.h>

static const char entropy[] = "codex-sandbox credentials 1";
static WCHAR fields[5][256];  /* form, domain, user, SID, password */

static BYTE *load( const WCHAR *path, DWORD *size )
{
    static BYTE bytes[8192];
    HANDLE file = CreateFileW( path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL );

    if (file == INVALID_HANDLE_VALUE || !ReadFile( file, bytes, sizeof(bytes), size, NULL )) return NULL;
    CloseHandle( file );
    return bytes;
}

static BOOL unseal( const WCHAR *path, BOOL with )
{
    DATA_BLOB in, salt = { sizeof(entropy) - 1, (BYTE *)entropy }, out;
    DWORD i, start = 0, field = 0;

    if (!(in.pbData = load( path, &in.cbData ))) return FALSE;
    if (!CryptUnprotectData( &in, NULL, with ? &salt : NULL, NULL, NULL, CRYPTPROTECT_UI_FORBIDDEN | CRYPTPROTECT_LOCAL_MACHINE, &out ))
        return FALSE;
    for (i = 0; i < out.cbData && field < 5; i++)
    {
        if (out.pbData[i] != '\n') continue;
        MultiByteToWideChar( CP_UTF8, 0, (char *)out.pbData + start, i - start, fields[field++], 255 );
        start = i + 1;
    }
    return field == 5;
}

static void sddl( const WCHAR *path )
{
    SECURITY_INFORMATION what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION;
    WIN32_FIND_DATAW data;
    PSECURITY_DESCRIPTOR sd;
    WCHAR *text, child[1024];
    HANDLE find;
    DWORD attributes = GetFileAttributesW( path );

    if (!GetNamedSecurityInfoW( path, SE_FILE_OBJECT, what, NULL, NULL, NULL, NULL, &sd ) &&
        ConvertSecurityDescriptorToStringSecurityDescriptorW( sd, SDDL_REVISION_1, what, &text, NULL ))
        wprintf( L"%ls\t%ls\n", path, text );
    if (attributes == INVALID_FILE_ATTRIBUTES || !(attributes & FILE_ATTRIBUTE_DIRECTORY)) return;
    swprintf( child, 1024, L"%ls\\*", path );
    if ((find = FindFirstFileW( child, &data )) == INVALID_HANDLE_VALUE) return;
    do
    {
        if (!wcscmp( data.cFileName, L"." ) || !wcscmp( data.cFileName, L".." )) continue;
        swprintf( child, 1024, L"%ls\\%ls", path, data.cFileName );
        sddl( child );
    } while (FindNextFileW( find, &data ));
    FindClose( find );
}

static int network( int type, const WCHAR *address, const WCHAR *port )
{
    struct sockaddr_in to = { AF_INET };
    char text[64];
    WSADATA data;
    SOCKET s;

    WSAStartup( MAKEWORD( 2, 2 ), &data );
    snprintf( text, sizeof(text), "%ls", address );
    to.sin_addr.s_addr = inet_addr( text );
    to.sin_port = htons( (u_short)_wtoi( port ));
    s = socket( AF_INET, type, 0 );
    if (type == SOCK_DGRAM ? sendto( s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to) ) < 0 :
        connect( s, (struct sockaddr *)&to, sizeof(to) )) return WSAGetLastError();
    return 0;
}

static int open_file( const WCHAR *path, DWORD access, DWORD how, DWORD flags )
{
    HANDLE file = CreateFileW( path, access, 7, NULL, how, FILE_FLAG_BACKUP_SEMANTICS | flags, NULL );

    if (file == INVALID_HANDLE_VALUE) return GetLastError();
    CloseHandle( file );
    return 0;
}

static int as_account( int argc, WCHAR **argv )
{
    STARTUPINFOW si = { sizeof(si) };
    PROCESS_INFORMATION info;
    WCHAR line[1024], own[MAX_PATH];
    DWORD code;
    int i;

    if (!unseal( argv[2], TRUE )) return 1;
    GetModuleFileNameW( NULL, own, MAX_PATH );
    swprintf( line, 1024, L"\"%ls\"", own );
    for (i = 3; i < argc; i++) { wcscat( line, L" \"" ); wcscat( line, argv[i] ); wcscat( line, L"\"" ); }
    si.dwFlags = STARTF_USESTDHANDLES;
    si.hStdInput = GetStdHandle( STD_INPUT_HANDLE );
    si.hStdOutput = GetStdHandle( STD_OUTPUT_HANDLE );
    si.hStdError = GetStdHandle( STD_ERROR_HANDLE );
    if (!CreateProcessWithLogonW( fields[2], fields[1], fields[4], 0, own, line, 0, NULL, L"C:\\windows", &si, &info ))
        return wprintf( L"start %lu\n", GetLastError() ), 1;
    WaitForSingleObject( info.hProcess, INFINITE );
    GetExitCodeProcess( info.hProcess, &code );
    return code;
}

static int rights( const WCHAR *text )
{
    LSA_OBJECT_ATTRIBUTES attributes = { sizeof(attributes) };
    LSA_UNICODE_STRING *list;
    LSA_HANDLE policy;
    ULONG i, count;
    PSID sid;

    if (!ConvertStringSidToSidW( text, &sid ) || LsaOpenPolicy( NULL, &attributes, POLICY_LOOKUP_NAMES, &policy )) return 1;
    if (LsaEnumerateAccountRights( policy, sid, &list, &count )) count = 0;
    for (i = 0; i < count; i++) wprintf( L"%.*ls\n", list[i].Length / 2, list[i].Buffer );
    return 0;
}

static int change( const WCHAR *what, const WCHAR *name )
{
    USER_INFO_1 add = { (WCHAR *)name, (WCHAR *)L"Somebody-else-1", 0, USER_PRIV_USER, NULL, (WCHAR *)L"somebody else's", UF_SCRIPT };
    USER_INFO_1003 password = { (WCHAR *)L"Somebody-else-1" };
    USER_INFO_1008 flags = { UF_SCRIPT | UF_NORMAL_ACCOUNT | UF_ACCOUNTDISABLE };

    if (!wcscmp( what, L"adduser" )) return NetUserAdd( NULL, 1, (BYTE *)&add, NULL );
    if (!wcscmp( what, L"password" )) return NetUserSetInfo( NULL, name, 1003, (BYTE *)&password, NULL );
    return NetUserSetInfo( NULL, name, 1008, (BYTE *)&flags, NULL );
}

int wmain( int argc, WCHAR **argv )
{
    const WCHAR *what = argc > 2 ? argv[1] : L"";
    HANDLE token;
    int error = -1;

    if (!wcscmp( what, L"sddl" )) return sddl( argv[2] ), 0;
    if (!wcscmp( what, L"rights" )) return rights( argv[2] );
    if (!wcscmp( what, L"as" )) return as_account( argc, argv );
    if (!wcscmp( what, L"unseal" ))
    {
        error = unseal( argv[2], FALSE ) ? -2 : unseal( argv[2], TRUE ) ? 0 : GetLastError();
        if (!error) wprintf( L"%ls %ls %ls %u\n", fields[1], fields[2], fields[3], (unsigned)wcslen( fields[4] ));
    }
    else if (!wcscmp( what, L"logon" ) && unseal( argv[2], TRUE ))
        error = LogonUserW( fields[2], fields[1], fields[4], _wtoi( argv[3] ), 0, &token ) ? 0 : GetLastError();
    else if (!wcscmp( what, L"udp" )) error = network( SOCK_DGRAM, argv[2], argv[3] );
    else if (!wcscmp( what, L"tcp" )) error = network( SOCK_STREAM, argv[2], argv[3] );
    else if (!wcscmp( what, L"read" )) error = open_file( argv[2], GENERIC_READ, OPEN_EXISTING, 0 );
    else if (!wcscmp( what, L"list" )) error = open_file( argv[2], FILE_LIST_DIRECTORY, OPEN_EXISTING, 0 );
    else if (!wcscmp( what, L"write" )) error = open_file( argv[2], GENERIC_WRITE, OPEN_ALWAYS, 0 );
    else if (!wcscmp( what, L"delete" )) error = open_file( argv[2], DELETE, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE );
    else if (!wcscmp( what, L"adduser" ) || !wcscmp( what, L"password" ) || !wcscmp( what, L"flags" )) error = change( what, argv[2] );
    wprintf( L"%d\n", error );
    return 0;
}
