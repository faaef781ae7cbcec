#define pr_fmt(format) "zpp: " format

#include "hotplug.h"
#include "loader/cpu.h"

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/smp.h>

static struct zpp_cpus *all;
static int state;
static struct cpumask away; /* held CPUs that are offline; each has a reference to the module */

static int on_online(unsigned cpu)
{
    enum zpp_status status;
    if (cpumask_test_and_clear_cpu(cpu, &away))
        module_put(THIS_MODULE);
    if (zpp_cpu_is_held())
        return 0;
    /* It is new, or was unplugged meanwhile and is another one. */
    status = zpp_cpus_launch_this(all);
    if (status != ZPP_OK) {
        pr_err("CPU %u stays offline: %s\n", cpu, zpp_status_text(status));
        return -EIO;
    }
    pr_info("CPU %u came and is held\n", cpu);
    return 0;
}

static int on_offline(unsigned cpu)
{
    if (!try_module_get(THIS_MODULE)) /* it is being unloaded, and needs every CPU */
        return -EBUSY;
    cpumask_set_cpu(cpu, &away);
    return 0;
}

int zpp_hotplug_watch(struct zpp_cpus *cpus)
{
    all = cpus;
    state = cpuhp_setup_state_nocalls_cpuslocked(CPUHP_AP_ONLINE_DYN, "zpp:online", on_online,
                                                 on_offline);
    if (state >= 0)
        return 0;
    pr_err("not loaded: CPUs that come and go cannot be watched (error %d)\n", -state);
    return state;
}

void zpp_hotplug_ignore(void) { cpuhp_remove_state_nocalls_cpuslocked(state); }

void zpp_hotplug_bring_back(void)
{
    unsigned cpu;
    for_each_cpu(cpu, &away) add_cpu(cpu);
}

bool zpp_hotplug_any_away(void) { return !cpumask_empty(&away); }
