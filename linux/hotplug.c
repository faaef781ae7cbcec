#define pr_fmt(format) "zpp: " format

#include "hotplug.h"
#include "loader/cpu.h"

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/smp.h>

static struct zpp_cpus *all_cpus;
static int state;
static struct cpumask offline; /* virtualized; each has a reference to the module */

int zpp_hotplug_give_back(void)
{
    if (!all_cpus || !all_cpus->launched)
        return 0;
    if (!cpumask_empty(&offline)) {
        pr_err("cannot sleep: CPU %u is offline under the hypervisor "
               "(echo 1 > /sys/devices/system/cpu/cpu%u/online)\n",
               cpumask_first(&offline), cpumask_first(&offline));
        return -EBUSY;
    }
    if (zpp_cpus_devirtualize(all_cpus))
        return 0;
    pr_err("cannot sleep: a CPU cannot be devirtualized\n");
    return -EIO;
}

static int on_online(unsigned cpu)
{
    enum zpp_status status;
    if (!all_cpus->launched)
        return 0;
    if (cpumask_test_and_clear_cpu(cpu, &offline))
        module_put(THIS_MODULE);
    if (zpp_cpu_is_held())
        return 0;
    /* The CPU is new, or another one was plugged in in its place. */
    status = zpp_cpus_launch_this(all_cpus);
    if (status != ZPP_OK) {
        pr_err("CPU %u stays offline: %s\n", cpu, zpp_status_text(status));
        return -EIO;
    }
    pr_info("CPU %u came online and is virtualized\n", cpu);
    return 0;
}

static int on_offline(unsigned cpu)
{
    if (!all_cpus->launched)
        return 0;
    if (cpuhp_tasks_frozen) /* the machine sleeps: the first CPU to go gives all of them back */
        return zpp_hotplug_give_back();
    if (!try_module_get(THIS_MODULE)) /* unloading the module needs every CPU */
        return -EBUSY;
    cpumask_set_cpu(cpu, &offline);
    return 0;
}

int zpp_hotplug_register(struct zpp_cpus *cpus)
{
    all_cpus = cpus;
    state = cpuhp_setup_state_nocalls_cpuslocked(CPUHP_AP_ONLINE_DYN, "zpp:online", on_online,
                                                 on_offline);
    if (state >= 0)
        return 0;
    pr_err("not loaded: cannot register for CPU hotplug (error %d)\n", -state);
    return state;
}

void zpp_hotplug_unregister(void)
{
    cpuhp_remove_state_nocalls_cpuslocked(state);
    all_cpus = NULL;
}

void zpp_hotplug_bring_online(void)
{
    unsigned cpu;
    for_each_cpu(cpu, &offline) add_cpu(cpu);
}

bool zpp_hotplug_any_offline(void) { return !cpumask_empty(&offline); }
