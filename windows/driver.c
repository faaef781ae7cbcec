/*
 * The hypervisor's Windows loader: launches the hypervisor on every CPU, then is unloaded. The hypervisor
 * stays, in memory that is never freed.
 */
#include "launch.h"

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *service_key)
{
    struct zpp_settings settings;
    struct zpp_result result;
    (void)driver;
    NTSTATUS status = zpp_settings_read(service_key, &settings);
    if (NT_SUCCESS(status))
        zpp_launch(&settings, &result);
    else
        zpp_result_windows_failed(
            &result, status,
            "SerialPort, WaitForDebugger, Visible or ResetAfter in the registry is not valid");
    /* The debugger shows this level without a filter mask. */
    DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, "zpp: %s\n", result.text);
    zpp_settings_write_result(service_key, result.text);
    return result.status;
}
