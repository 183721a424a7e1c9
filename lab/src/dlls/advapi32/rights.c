/*
 * Account rights of the lab, kept in the registry
 *
 * A right is a value of HKLM\Software\Wine\Lab\Rights\<SID>. Those that deny a kind of logon are looked at by LogonUser.
 *
 * This library is free software; you can redistribute it and/or
 * modify it under the terms of the GNU Lesser General Public
 * License as published by the Free Software Foundation; either
 * version 2.1 of the License, or (at your option) any later version.
 *
 * This library is distributed in the hope that it will be useful,
 * but WITHOUT ANY WARRANTY; without even the implied warranty of
 * MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the GNU
 * Lesser General Public License for more details.
 *
 * You should have received a copy of the GNU Lesser General Public
 * License along with this library; if not, write to the Free Software
 * Foundation, Inc., 51 Franklin St, Fifth Floor, Boston, MA 02110-1301, USA
 */

#include <stdarg.h>
#include <stdlib.h>
#include <wchar.h>

#include "ntstatus.h"
#define WIN32_NO_STATUS
#include "windef.h"
#include "winbase.h"
#include "winreg.h"
#include "winternl.h"
#include "sddl.h"
#include "ntsecapi.h"
#include "wine/debug.h"

#include "lab_accounts.h"

WINE_DEFAULT_DEBUG_CHANNEL(advapi);

#define RIGHTS_KEY L"Software\\Wine\\Lab\\Rights"
#define MAX_RIGHT 64

static LSTATUS open_rights( PSID sid, REGSAM access, BOOL create, HKEY *key )
{
    WCHAR path[300], *text;
    LSTATUS ret;

    if (!ConvertSidToStringSidW( sid, &text )) return ERROR_INVALID_SID;
    swprintf( path, ARRAY_SIZE(path), RIGHTS_KEY L"\\%ls", text );
    LocalFree( text );
    if (create) ret = RegCreateKeyExW( HKEY_LOCAL_MACHINE, path, 0, NULL, 0, access, NULL, key, NULL );
    else ret = RegOpenKeyExW( HKEY_LOCAL_MACHINE, path, 0, access, key );
    return ret;
}

static NTSTATUS status_of( LSTATUS ret )
{
    switch (ret)
    {
    case ERROR_SUCCESS:        return STATUS_SUCCESS;
    case ERROR_FILE_NOT_FOUND: return STATUS_OBJECT_NAME_NOT_FOUND;
    case ERROR_ACCESS_DENIED:  return STATUS_ACCESS_DENIED;
    case ERROR_INVALID_SID:    return STATUS_INVALID_SID;
    default:                   return STATUS_UNSUCCESSFUL;
    }
}

/* the names of rights that Windows knows; others are STATUS_NO_SUCH_PRIVILEGE there */
static BOOL copy_right( const LSA_UNICODE_STRING *right, WCHAR name[MAX_RIGHT] )
{
    DWORD len = right->Length / sizeof(WCHAR);

    if (len < 4 || len >= MAX_RIGHT || wcsncmp( right->Buffer, L"Se", 2 )) return FALSE;
    memcpy( name, right->Buffer, len * sizeof(WCHAR) );
    name[len] = 0;
    return TRUE;
}

NTSTATUS WINAPI lab_LsaAddAccountRights( LSA_HANDLE policy, PSID sid, LSA_UNICODE_STRING *rights, ULONG count )
{
    WCHAR name[MAX_RIGHT];
    LSTATUS ret;
    ULONG i;
    HKEY key;

    TRACE( "%lu rights\n", count );

    for (i = 0; i < count; i++) if (!copy_right( &rights[i], name )) return STATUS_NO_SUCH_PRIVILEGE;
    if ((ret = open_rights( sid, KEY_ALL_ACCESS, TRUE, &key ))) return status_of( ret );
    for (i = 0; i < count && !ret; i++)
    {
        copy_right( &rights[i], name );
        ret = RegSetValueExW( key, name, 0, REG_SZ, NULL, 0 );
    }
    RegCloseKey( key );
    return status_of( ret );
}

/* the account itself goes with its last right, as on Windows */
static void remove_if_empty( HKEY key )
{
    DWORD values = 1;

    if (RegQueryInfoKeyW( key, NULL, NULL, NULL, NULL, NULL, NULL, &values, NULL, NULL, NULL, NULL ) || values) return;
    RegDeleteKeyW( key, L"" );
}

NTSTATUS WINAPI lab_LsaRemoveAccountRights( LSA_HANDLE policy, PSID sid, BOOLEAN all, LSA_UNICODE_STRING *rights, ULONG count )
{
    WCHAR name[MAX_RIGHT];
    LSTATUS ret;
    ULONG i;
    HKEY key;

    if ((ret = open_rights( sid, KEY_ALL_ACCESS, FALSE, &key ))) return status_of( ret );
    if (all) ret = RegDeleteTreeW( key, NULL );
    for (i = 0; i < count && !all && !ret; i++)
        ret = copy_right( &rights[i], name ) ? RegDeleteValueW( key, name ) : ERROR_FILE_NOT_FOUND;
    remove_if_empty( key );
    RegCloseKey( key );
    return status_of( ret );
}

NTSTATUS WINAPI lab_LsaEnumerateAccountRights( LSA_HANDLE policy, PSID sid, LSA_UNICODE_STRING **rights, ULONG *count )
{
    LSA_UNICODE_STRING *list;
    WCHAR *text;
    DWORD i, len, values;
    LSTATUS ret;
    HKEY key;

    *rights = NULL;
    *count = 0;
    if ((ret = open_rights( sid, KEY_READ, FALSE, &key ))) return status_of( ret );
    if (RegQueryInfoKeyW( key, NULL, NULL, NULL, NULL, NULL, NULL, &values, NULL, NULL, NULL, NULL )) values = 0;
    if (values && (list = malloc( values * (sizeof(*list) + MAX_RIGHT * sizeof(WCHAR)) )))
    {
        text = (WCHAR *)(list + values);
        for (i = 0, len = MAX_RIGHT; i < values && !RegEnumValueW( key, i, text, &len, NULL, NULL, NULL, NULL ); i++, len = MAX_RIGHT)
        {
            list[i].Buffer = text;
            list[i].Length = len * sizeof(WCHAR);
            list[i].MaximumLength = (len + 1) * sizeof(WCHAR);
            text += MAX_RIGHT;
        }
        *rights = list;  /* LsaFreeMemory is free() in Wine */
        *count = i;
    }
    RegCloseKey( key );
    return *count ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
}

/* whether an account is denied a kind of logon */
BOOL lab_is_denied( PSID sid, DWORD logon_type )
{
    const WCHAR *right;
    LSTATUS ret;
    HKEY key;

    switch (logon_type)
    {
    case 2: right = L"SeDenyInteractiveLogonRight"; break;
    case 3: case 8: right = L"SeDenyNetworkLogonRight"; break;
    case 4: right = L"SeDenyBatchLogonRight"; break;
    case 5: right = L"SeDenyServiceLogonRight"; break;
    default: return FALSE;
    }
    if (open_rights( sid, KEY_READ, FALSE, &key )) return FALSE;
    ret = RegQueryValueExW( key, right, NULL, NULL, NULL, NULL );
    RegCloseKey( key );
    return !ret;
}
