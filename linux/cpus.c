#include "cpus.h"
#include "loader/cpu.h"

#include <linux/slab.h>
#include <linux/smp.h>

static u32 this_index(const struct zpp_cpus *cpus) { return cpus->index[smp_processor_id()]; }

static void note_apic_id(void *context)
{
    struct zpp_cpus *cpus = context;
    cpus->apic_ids[this_index(cpus)] = zpp_cpu_apic_id();
}

bool zpp_cpus_find(struct zpp_cpus *cpus, const struct cpumask *mask)
{
    unsigned cpu;
    cpus->count = 0;
    cpus->index = kcalloc(nr_cpu_ids, sizeof *cpus->index, GFP_KERNEL);
    cpus->apic_ids = kcalloc(nr_cpu_ids, sizeof *cpus->apic_ids, GFP_KERNEL);
    cpus->status = kcalloc(nr_cpu_ids, sizeof *cpus->status, GFP_KERNEL);
    if (!cpus->index || !cpus->apic_ids || !cpus->status) {
        zpp_cpus_forget(cpus);
        return false;
    }
    for_each_cpu(cpu, mask)
    {
        cpus->apic_ids[cpus->count] = ZPP_NO_APIC_ID;
        cpus->index[cpu] = cpus->count++;
    }
    on_each_cpu(note_apic_id, cpus, 1);
    return true;
}

void zpp_cpus_forget(struct zpp_cpus *cpus)
{
    kfree(cpus->index);
    kfree(cpus->apic_ids);
    kfree(cpus->status);
    cpus->index = NULL;
    cpus->apic_ids = NULL;
    cpus->status = NULL;
}

static void launch(void *context)
{
    struct zpp_cpus *cpus = context;
    const u32 index = this_index(cpus);
    cpus->status[index] = zpp_loader_launch(&cpus->loader, index);
}

/* The BSP comes first and goes last: see docs/contract.md. */
#define BSP 0

static void launch_ap(void *context)
{
    if (smp_processor_id() != BSP)
        launch(context);
}

static void devirtualize(void *context)
{
    struct zpp_cpus *cpus = context;
    const u32 index = this_index(cpus);
    cpus->status[index] = zpp_loader_devirtualize(&cpus->loader, index);
}

static void devirtualize_ap(void *context)
{
    if (smp_processor_id() != BSP)
        devirtualize(context);
}

static enum zpp_status first_failure(const struct zpp_cpus *cpus)
{
    unsigned cpu;
    for_each_online_cpu(cpu) if (cpus->status[cpus->index[cpu]] !=
                                 ZPP_OK) return cpus->status[cpus->index[cpu]];
    return ZPP_OK;
}

enum zpp_status zpp_cpus_launch(struct zpp_cpus *cpus)
{
    enum zpp_status status;
    smp_call_function_single(BSP, launch, cpus, 1);
    status = cpus->status[cpus->index[BSP]];
    if (status != ZPP_OK)
        return status;
    on_each_cpu(launch_ap, cpus, 1);
    return first_failure(cpus);
}

bool zpp_cpus_devirtualize(struct zpp_cpus *cpus)
{
    on_each_cpu(devirtualize_ap, cpus, 1);
    smp_call_function_single(BSP, devirtualize, cpus, 1);
    return first_failure(cpus) == ZPP_OK;
}

enum zpp_status zpp_cpus_launch_this(struct zpp_cpus *cpus)
{
    const u32 index = this_index(cpus);
    return zpp_loader_launch(&cpus->loader, index);
}
