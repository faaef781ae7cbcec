#include <Uefi.h>
EFI_STATUS EFIAPI ZppBootEntryPoint (IN EFI_HANDLE ImageHandle, IN EFI_SYSTEM_TABLE *SystemTable) { return EFI_SUCCESS; }
