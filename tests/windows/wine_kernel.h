/* The CPU that the thread runs on, under Wine. */
#ifndef ZPP_TEST_WINE_KERNEL_H
#define ZPP_TEST_WINE_KERNEL_H

#include <stdint.h>

extern uint32_t zpp_wine_cpu;
uint32_t zpp_wine_cpus(void);

#endif
