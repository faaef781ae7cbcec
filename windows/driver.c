/*
 * The hypervisor's Windows loader: takes every CPU, then is unloaded. The hypervisor stays, in
 * memory that is never given back.
 */
#include "launch.h"

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *service_key)
{
    struct zpp_settings settings;
    struct zpp_answer answer;
    (void)driver;
    NTSTATUS status = zpp_settings_read(service_key, &settings);
    if (NT_SUCCESS(status))
        zpp_launch(&settings, &answer);
    else
        zpp_answer_refused(&answer, status,
                           "SerialPort or WaitForDebugger in the registry is not valid");
    /* At this level it is shown without any filter being set. */
    DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, "zpp: %s\n", answer.text);
    zpp_settings_write_result(service_key, answer.text);
    return answer.status;
}
