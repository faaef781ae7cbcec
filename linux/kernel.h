/* The kernel's types for the shared loader's sources. Kbuild includes it before each file. */
#ifndef ZPP_LINUX_KERNEL_H
#define ZPP_LINUX_KERNEL_H

#include <linux/types.h>

#define ZPP_NO_STDINT

#endif
