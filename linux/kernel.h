/* What the shared loader's sources need of the kernel: put before each file by Kbuild. */
#ifndef ZPP_LINUX_KERNEL_H
#define ZPP_LINUX_KERNEL_H

#include <linux/types.h>

#define ZPP_NO_STDINT

#endif
