/* The commands of zpp-guest. Each returns 0, or -1 after an error. */
#ifndef ZPP_GUEST_COMMANDS_H
#define ZPP_GUEST_COMMANDS_H

#include "system.h"

/* cpus.c */
int show_cpu(u32 cpu);
int show_cpus(void);
int show_tsc(void);
int show_cpuid_ticks(void);

/* stress.c */
int stress(u32 first_cpu, u64 duration);
int watch_ldt(u32 cpu, u64 duration);

/* machine.c */
int drain(void);
int booted(void); /* 0 or 1; 2 after an error */
int load_module(const char *file, const char *words);
int start_kernel(const char *kernel, const char *initrd, const char *words);

#endif
