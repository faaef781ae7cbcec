#include "result.h"
#include "platform.h"

static void append(struct zpp_result *result, const char *text)
{
    size_t length = 0;
    while (result->text[length] != 0)
        ++length;
    while (*text != 0 && length < sizeof result->text - 1)
        result->text[length++] = *text++;
    result->text[length] = 0;
}

static void append_number(struct zpp_result *result, uint32_t number)
{
    char digits[11];
    unsigned first = sizeof digits - 1;
    digits[first] = 0;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    append(result, &digits[first]);
}

static NTSTATUS to_ntstatus(enum zpp_status status)
{
    switch (status) {
    case ZPP_OK:
        return ZPP_STATUS_LAUNCHED;
    case ZPP_BAD_ELF:
        return STATUS_INVALID_IMAGE_FORMAT;
    case ZPP_BAD_BOOT_INFO:
        return STATUS_REVISION_MISMATCH;
    case ZPP_NO_MEMORY:
        return STATUS_INSUFFICIENT_RESOURCES;
    case ZPP_NO_VIRTUALIZATION:
    case ZPP_MISSING_FEATURE:
        return STATUS_NOT_SUPPORTED;
    case ZPP_LOCKED_BY_FIRMWARE:
        return STATUS_NOT_CAPABLE;
    case ZPP_IN_USE:
        return STATUS_DEVICE_BUSY;
    case ZPP_BAD_CALL:
        return STATUS_INVALID_DEVICE_STATE;
    default:
        return STATUS_UNSUCCESSFUL;
    }
}

/* These may be caused by a hypervisor under this Windows that hides VT-x and AMD-V. */
static int is_about_virtualization(enum zpp_status status)
{
    return status == ZPP_NO_VIRTUALIZATION || status == ZPP_LOCKED_BY_FIRMWARE ||
           status == ZPP_IN_USE || status == ZPP_MISSING_FEATURE;
}

static void start(struct zpp_result *result, NTSTATUS status, const char *text)
{
    result->status = status;
    result->text[0] = 0;
    append(result, text);
}

void zpp_result_failed(struct zpp_result *result, uint32_t cpu, enum zpp_status status,
                       const char *detail)
{
    start(result, to_ntstatus(status), "no hypervisor: ");
    if (cpu != ZPP_NO_CPU) {
        append(result, "CPU ");
        append_number(result, cpu);
        append(result, ": ");
    }
    append(result, zpp_status_text(status));
    if (detail[0] != 0) {
        append(result, " (");
        append(result, detail);
        append(result, ")");
    }
    if (!is_about_virtualization(status))
        return;
    switch (zpp_platform_find()) {
    case ZPP_PLATFORM_WINDOWS_HYPERVISOR:
        result->status = STATUS_DEVICE_BUSY;
        append(result, "; this Windows runs under Hyper-V: turn off Hyper-V and memory integrity");
        break;
    case ZPP_PLATFORM_VIRTUAL_MACHINE:
        append(result, "; this is a virtual machine: enable nested virtualization for it");
        break;
    case ZPP_PLATFORM_MACHINE:
        break;
    }
}

void zpp_result_windows_failed(struct zpp_result *result, NTSTATUS status, const char *reason)
{
    start(result, status, "no hypervisor: ");
    append(result, reason);
}

void zpp_result_already_running(struct zpp_result *result)
{
    start(result, STATUS_IMAGE_ALREADY_LOADED, "zpp is already running on this machine");
}

void zpp_result_launched(struct zpp_result *result, uint32_t cpus, int amd, int fast_startup)
{
    start(result, ZPP_STATUS_LAUNCHED, "zpp runs on ");
    append_number(result, cpus);
    append(result, cpus == 1 ? " CPU" : " CPUs");
    append(result, amd ? " with AMD-V" : " with Intel VT-x");
    if (fast_startup)
        append(result,
               "; Fast Startup is on: after a shut-down Windows resumes without zpp, and its "
               "memory stays lost until a restart (turn it off: powercfg /h off)");
}
