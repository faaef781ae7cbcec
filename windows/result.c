#include "answer.h"
#include "platform.h"

static void append(struct zpp_answer *answer, const char *text)
{
    size_t length = 0;
    while (answer->text[length] != 0)
        ++length;
    while (*text != 0 && length < sizeof answer->text - 1)
        answer->text[length++] = *text++;
    answer->text[length] = 0;
}

static void append_number(struct zpp_answer *answer, uint32_t number)
{
    char digits[11];
    unsigned first = sizeof digits - 1;
    digits[first] = 0;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    append(answer, &digits[first]);
}

static NTSTATUS status_of(enum zpp_status status)
{
    switch (status) {
    case ZPP_OK:
        return ZPP_STATUS_HELD;
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

/* Under a hypervisor it is this, and not the machine, that hides VT-x and AMD-V. */
static int is_about_virtualization(enum zpp_status status)
{
    return status == ZPP_NO_VIRTUALIZATION || status == ZPP_LOCKED_BY_FIRMWARE ||
           status == ZPP_IN_USE || status == ZPP_MISSING_FEATURE;
}

static void start(struct zpp_answer *answer, NTSTATUS status, const char *text)
{
    answer->status = status;
    answer->text[0] = 0;
    append(answer, text);
}

void zpp_answer_failure(struct zpp_answer *answer, uint32_t cpu, enum zpp_status status,
                        const char *detail)
{
    start(answer, status_of(status), "no hypervisor: ");
    if (cpu != ZPP_NO_CPU) {
        append(answer, "CPU ");
        append_number(answer, cpu);
        append(answer, ": ");
    }
    append(answer, zpp_status_text(status));
    if (detail[0] != 0) {
        append(answer, " (");
        append(answer, detail);
        append(answer, ")");
    }
    if (!is_about_virtualization(status))
        return;
    switch (zpp_platform_find()) {
    case ZPP_PLATFORM_WINDOWS_HYPERVISOR:
        answer->status = STATUS_DEVICE_BUSY;
        append(answer, "; Hyper-V runs below this Windows: turn it off, with memory integrity");
        break;
    case ZPP_PLATFORM_VIRTUAL_MACHINE:
        append(answer, "; this is a virtual machine: it must pass VT-x or AMD-V on");
        break;
    case ZPP_PLATFORM_MACHINE:
        break;
    }
}

void zpp_answer_refused(struct zpp_answer *answer, NTSTATUS status, const char *reason)
{
    start(answer, status, "no hypervisor: ");
    append(answer, reason);
}

void zpp_answer_held_before(struct zpp_answer *answer)
{
    start(answer, STATUS_IMAGE_ALREADY_LOADED, "zpp holds this machine already");
}

void zpp_answer_held(struct zpp_answer *answer, uint32_t cpus, int amd)
{
    start(answer, ZPP_STATUS_HELD, "zpp holds ");
    append_number(answer, cpus);
    append(answer, cpus == 1 ? " CPU" : " CPUs");
    append(answer, amd ? " with AMD-V" : " with Intel VT-x");
}
