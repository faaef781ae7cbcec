/* Sleep and restart of the machine while the module is kept (keep=1). */
#ifndef ZPP_LINUX_POWER_H
#define ZPP_LINUX_POWER_H

/* From now on the machine refuses to sleep, because its CPUs would wake up without the hypervisor.
 * `before_restart` is called before the machine restarts or kexec starts another kernel, which would
 * overwrite the hypervisor's memory. Returns 0 or a negative error number. */
int zpp_power_register(void (*before_restart)(void));
void zpp_power_unregister(void);

#endif
