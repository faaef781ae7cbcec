#include "settings.h"

#include <zpp/boot_info.h>

#define RESULT_MAX 400 /* characters */

static NTSTATUS open_key(UNICODE_STRING *name, ACCESS_MASK access, HANDLE *key)
{
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               NULL);
    return ZwOpenKey(key, access, &attributes);
}

/* Leaves *value unchanged if the registry has no such value. */
static NTSTATUS read_number(HANDLE key, const WCHAR *name, uint32_t max, uint32_t *value)
{
    struct {
        KEY_VALUE_PARTIAL_INFORMATION information;
        UCHAR more[sizeof(ULONG)];
    } buffer;
    UNICODE_STRING text;
    ULONG length;
    RtlInitUnicodeString(&text, name);
    NTSTATUS status =
        ZwQueryValueKey(key, &text, KeyValuePartialInformation, &buffer, sizeof buffer, &length);
    if (status == STATUS_OBJECT_NAME_NOT_FOUND)
        return STATUS_SUCCESS;
    if (status == STATUS_BUFFER_OVERFLOW || status == STATUS_BUFFER_TOO_SMALL)
        return STATUS_INVALID_PARAMETER; /* longer than a number */
    if (!NT_SUCCESS(status))
        return status;
    ULONG number = *(const UNALIGNED ULONG *)buffer.information.Data;
    if (buffer.information.Type != REG_DWORD || buffer.information.DataLength != sizeof number ||
        number > max)
        return STATUS_INVALID_PARAMETER;
    *value = number;
    return STATUS_SUCCESS;
}

NTSTATUS zpp_settings_read(UNICODE_STRING *service_key, struct zpp_settings *settings)
{
    uint32_t port = ZPP_SERIAL_PORT, wait = ZPP_WAIT_FOR_DEBUGGER, visible = 0;
    uint32_t reset_after = ZPP_RESET_AFTER_DEFAULT;
    HANDLE key;
    NTSTATUS status = open_key(service_key, KEY_QUERY_VALUE, &key);
    if (!NT_SUCCESS(status))
        return status;
    status = read_number(key, L"SerialPort", ZPP_SERIAL_PORT_MAX, &port);
    if (NT_SUCCESS(status))
        status = read_number(key, L"WaitForDebugger", 1, &wait);
    if (NT_SUCCESS(status))
        status = read_number(key, L"Visible", 1, &visible);
    if (NT_SUCCESS(status))
        status = read_number(key, L"ResetAfter", ZPP_RESET_AFTER_MAX, &reset_after);
    ZwClose(key);
    settings->serial_port = (uint16_t)port;
    settings->wait_for_debugger = (uint8_t)wait;
    settings->visible = (uint8_t)visible;
    settings->reset_after = (uint16_t)reset_after;
    return status;
}

int zpp_settings_fast_startup(void)
{
    uint32_t enabled = 0;
    UNICODE_STRING name;
    HANDLE key;
    RtlInitUnicodeString(
        &name, L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Session Manager\\Power");
    if (!NT_SUCCESS(open_key(&name, KEY_QUERY_VALUE, &key)))
        return 0;
    if (!NT_SUCCESS(read_number(key, L"HiberbootEnabled", 1, &enabled)))
        enabled = 0;
    ZwClose(key);
    return enabled != 0;
}

void zpp_settings_write_result(UNICODE_STRING *service_key, const char *text)
{
    WCHAR wide[RESULT_MAX];
    ULONG length = 0;
    UNICODE_STRING name;
    HANDLE key;
    while (length < RESULT_MAX - 1 && text[length] != 0) {
        wide[length] = (UCHAR)text[length];
        ++length;
    }
    wide[length++] = 0;
    if (!NT_SUCCESS(open_key(service_key, KEY_SET_VALUE, &key)))
        return;
    RtlInitUnicodeString(&name, L"Result");
    ZwSetValueKey(key, &name, 0, REG_SZ, wide, length * sizeof wide[0]);
    ZwClose(key);
}
