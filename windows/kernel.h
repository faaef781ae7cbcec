/* The kernel's API, declared by the WDK or mingw-w64. */
#ifndef ZPP_WINDOWS_KERNEL_H
#define ZPP_WINDOWS_KERNEL_H

#include <ntddk.h>

#ifdef __MINGW32__ /* mingw-w64 10 does not declare it */
NTKERNELAPI PVOID NTAPI MmAllocateContiguousNodeMemory(SIZE_T bytes, PHYSICAL_ADDRESS lowest,
                                                       PHYSICAL_ADDRESS highest,
                                                       PHYSICAL_ADDRESS boundary, ULONG protect,
                                                       NODE_REQUIREMENT node);
#endif

#define ZPP_POOL_TAG '1ppz' /* shown as zpp1 */

#endif
