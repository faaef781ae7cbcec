#include "cpus.h"
#include "loader/cpu.h"

#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

static u32 current_index(const struct zpp_cpus *cpus) { return cpus->index[smp_processor_id()]; }

static void record_apic_id(void *context)
{
    struct zpp_cpus *cpus = context;
    cpus->apic_ids[current_index(cpus)] = zpp_cpu_apic_id();
}

bool zpp_cpus_init(struct zpp_cpus *cpus, const struct cpumask *mask)
{
    unsigned cpu;
    cpus->count = 0;
    cpus->launched = false;
    cpus->index = kcalloc(nr_cpu_ids, sizeof *cpus->index, GFP_KERNEL);
    cpus->apic_ids = kcalloc(nr_cpu_ids, sizeof *cpus->apic_ids, GFP_KERNEL);
    cpus->status = kcalloc(nr_cpu_ids, sizeof *cpus->status, GFP_KERNEL);
    if (!cpus->index || !cpus->apic_ids || !cpus->status) {
        zpp_cpus_free(cpus);
        return false;
    }
    for_each_cpu(cpu, mask)
    {
        cpus->apic_ids[cpus->count] = ZPP_NO_APIC_ID;
        cpus->index[cpu] = cpus->count++;
    }
    on_each_cpu(record_apic_id, cpus, 1);
    return true;
}

void zpp_cpus_free(struct zpp_cpus *cpus)
{
    kfree(cpus->index);
    kfree(cpus->apic_ids);
    kfree(cpus->status);
    cpus->index = NULL;
    cpus->apic_ids = NULL;
    cpus->status = NULL;
}

/* The BSP is launched first and devirtualized last: see docs/reference/contract.md. */
#define BSP 0

struct preparation {
    struct zpp_loader *loader;
    const struct zpp_loader_request *request;
};

static long prepare(void *context)
{
    const struct preparation *preparation = context;
    return zpp_loader_prepare(preparation->loader, preparation->request);
}

enum zpp_status zpp_cpus_prepare(struct zpp_cpus *cpus, const struct zpp_loader_request *request)
{
    struct preparation preparation = {.loader = &cpus->loader, .request = request};
    return work_on_cpu(BSP, prepare, &preparation);
}

static void launch(void *context)
{
    struct zpp_cpus *cpus = context;
    const u32 index = current_index(cpus);
    cpus->status[index] = zpp_loader_launch(&cpus->loader, index);
}

static void launch_ap(void *context)
{
    if (smp_processor_id() != BSP)
        launch(context);
}

static void devirtualize(void *context)
{
    struct zpp_cpus *cpus = context;
    const u32 index = current_index(cpus);
    cpus->status[index] = zpp_loader_devirtualize(&cpus->loader, index);
}

static void devirtualize_ap(void *context)
{
    if (smp_processor_id() != BSP)
        devirtualize(context);
}

static enum zpp_status first_failure(const struct zpp_cpus *cpus, unsigned *failed)
{
    unsigned cpu;
    for_each_online_cpu(cpu)
    {
        const enum zpp_status status = cpus->status[cpus->index[cpu]];
        *failed = cpu;
        if (status != ZPP_OK)
            return status;
    }
    return ZPP_OK;
}

enum zpp_status zpp_cpus_launch(struct zpp_cpus *cpus, unsigned *failed)
{
    enum zpp_status status;
    smp_call_function_single(BSP, launch, cpus, 1);
    if (cpus->status[cpus->index[BSP]] == ZPP_OK)
        on_each_cpu(launch_ap, cpus, 1);
    status = first_failure(cpus, failed);
    cpus->launched = status == ZPP_OK;
    return status;
}

const char *zpp_cpus_detail(const struct zpp_cpus *cpus, unsigned cpu)
{
    return zpp_loader_detail(&cpus->loader, cpus->index[cpu]);
}

bool zpp_cpus_devirtualize(struct zpp_cpus *cpus)
{
    unsigned failed;
    if (num_online_cpus() == 1) {
        devirtualize(cpus);
    } else {
        on_each_cpu(devirtualize_ap, cpus, 1);
        smp_call_function_single(BSP, devirtualize, cpus, 1);
    }
    if (first_failure(cpus, &failed) != ZPP_OK)
        return false;
    cpus->launched = false;
    return true;
}

enum zpp_status zpp_cpus_launch_this(struct zpp_cpus *cpus)
{
    const u32 index = current_index(cpus);
    return zpp_loader_launch(&cpus->loader, index);
}
