/* Sleep and restart of the machine while the module is kept (keep=1). */
#ifndef ZPP_LINUX_POWER_H
#define ZPP_LINUX_POWER_H

struct zpp_power_events {
    /* Before suspend to RAM, and before hibernation takes or restores its image: called on the only
     * CPU that is online, with interrupts off. A negative error number keeps the machine awake. Not
     * called for suspend to idle, which keeps every CPU as it is. */
    int (*before_sleep)(void);
    /* After any sleep, also one that failed, when every CPU is online again. */
    void (*after_sleep)(void);
    /* Before the machine restarts or kexec starts another kernel, which would overwrite the
     * hypervisor's memory. */
    void (*before_restart)(void);
};

/* Returns 0 or a negative error number. */
int zpp_power_register(const struct zpp_power_events *events);
void zpp_power_unregister(void);

#endif
