/* Sleep and restart of the machine while the module stays (keep=1). */
#ifndef ZPP_LINUX_POWER_H
#define ZPP_LINUX_POWER_H

/* From now on the machine does not go to sleep, since its CPUs would wake up without the hypervisor;
 * `leave` is called before it restarts or another kernel is started, which would not know what memory
 * to leave alone. 0 or a negative error number. */
int zpp_power_watch(void (*leave)(void));
void zpp_power_ignore(void);

#endif
