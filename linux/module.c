/*
 * zpp.ko: loads the hypervisor under the running Linux. Unless keep=1 the module then refuses to
 * stay: insmod says "Operation not permitted" (EPERM), no module remains, the hypervisor does.
 */
#define pr_fmt(format) "zpp: " format

#include "core_log.h"
#include "cpus.h"
#include "debugfs.h"
#include "hotplug.h"
#include "memory.h"
#include "power.h"
#include "refusal.h"

#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/vmalloc.h>

static bool keep;
module_param(keep, bool, 0444);
MODULE_PARM_DESC(keep, "keep the module: rmmod then takes the hypervisor off every CPU");

static ushort serial;
module_param(serial, ushort, 0444);
MODULE_PARM_DESC(serial, "I/O port of a UART for the hypervisor's log, such as 0x3f8 (0: none)");

static bool wait_for_debugger = ZPP_WAIT_FOR_DEBUGGER;
module_param(wait_for_debugger, bool, 0444);
MODULE_PARM_DESC(wait_for_debugger, "the hypervisor waits for a debugger before it starts");

extern const char zpp_elf_file[], zpp_elf_file_end[];

static struct zpp_memory memory;
static struct zpp_cpus cpus;
static DEFINE_MUTEX(lock); /* a restart comes at any time */

static void *virtual_of(void *context, uint64_t physical) { return phys_to_virt(physical); }

/* The trampoline is part of the module's text. */
static uint64_t physical_of(void *context, const void *virtual_address)
{
    return page_to_phys(vmalloc_to_page(virtual_address)) + offset_in_page(virtual_address);
}

static enum zpp_status __init prepare(void)
{
    struct zpp_loader_request request = {
        .os = {.virtual_of = virtual_of, .physical_of = physical_of},
        .elf = zpp_elf_file,
        .elf_size = zpp_elf_file_end - zpp_elf_file,
        .cpu_count = cpus.count,
        .apic_ids = cpus.apic_ids,
        .serial_port = serial,
        .wait_for_debugger = wait_for_debugger,
    };
    const u64 pages = zpp_loader_pages(request.elf, request.elf_size, request.cpu_count);
    if (pages == 0)
        return ZPP_BAD_ELF;
    if (!zpp_memory_allocate(&memory, pages))
        return ZPP_NO_MEMORY;
    request.ranges = memory.ranges;
    request.range_count = memory.count;
    return zpp_cpus_prepare(&cpus, &request);
}

/* Takes the hypervisor off every CPU. If one does not let go, the memory stays the hypervisor's. */
static bool give_back(void)
{
    const bool free = zpp_cpus_devirtualize(&cpus) && !zpp_hotplug_any_away();
    if (free)
        zpp_memory_free(&memory);
    else
        pr_err("a CPU does not come back: the hypervisor keeps its memory\n");
    memory.count = 0;
    return free;
}

/* On every CPU; after an error on none, or only on some. */
static int __init launch(void)
{
    unsigned cpu;
    enum zpp_status status = zpp_cpus_launch(&cpus, &cpu);
    if (status != ZPP_OK)
        return zpp_refusal_of(cpu, status, zpp_cpus_detail(&cpus, cpu));
    if (keep)
        return zpp_hotplug_watch(&cpus);
    status = zpp_loader_commit();
    return status == ZPP_OK ? 0 : zpp_refusal_of(ZPP_NO_CPU, status, "");
}

static int __init prepare_and_launch(void)
{
    int error;
    const enum zpp_status status = prepare();
    if (status != ZPP_OK) {
        error = zpp_refusal_of(ZPP_NO_CPU, status, zpp_loader_detail(&cpus.loader, 0));
        zpp_memory_free(&memory); /* where the detail is */
        return error;
    }
    error = launch();
    if (error)
        give_back();
    return error;
}

/* All under one lock: no CPU comes or goes between the check, the launch and the watch. */
static int __init load(void)
{
    int error = zpp_refusal();
    if (error)
        return error;
    if (!zpp_cpus_find(&cpus, keep ? cpu_possible_mask : cpu_online_mask))
        return zpp_refusal_of(ZPP_NO_CPU, ZPP_NO_MEMORY, "");
    error = prepare_and_launch();
    if (error)
        zpp_cpus_forget(&cpus);
    return error;
}

static void unload(void)
{
    mutex_lock(&lock);
    cpus_read_lock();
    if (memory.count != 0) {
        if (give_back())
            pr_info("unloaded: the hypervisor has left every CPU\n");
        zpp_hotplug_ignore();
        zpp_cpus_forget(&cpus);
    }
    cpus_read_unlock();
    mutex_unlock(&lock);
}

/* Another kernel, or the firmware, must find no CPU held. */
static void leave(void)
{
    zpp_hotplug_bring_back();
    unload();
}

static int __init load_and_tell(void)
{
    int error;
    mutex_lock(&lock);
    cpus_read_lock();
    error = load();
    if (!error) {
        zpp_core_log_print();
        pr_info("loaded: the hypervisor holds %u CPUs\n", num_online_cpus());
    }
    cpus_read_unlock();
    mutex_unlock(&lock);
    return error;
}

static int __init load_and_leave(void)
{
    int error = load_and_tell();
    if (error)
        return error;
    if (num_possible_cpus() > cpus.count)
        pr_info("CPUs that are plugged in later run beside it (keep=1 takes them)\n");
    pr_info("the module leaves now, the hypervisor stays: \"not permitted\" is its success\n");
    zpp_cpus_forget(&cpus);
    return -EPERM;
}

/* The watch comes first: a machine that goes to sleep or restarts finds nothing half done. */
static int __init load_and_stay(void)
{
    int error = zpp_power_watch(leave);
    if (error)
        return error;
    error = load_and_tell();
    if (error)
        zpp_power_ignore();
    else
        zpp_debugfs_add();
    return error;
}

static int __init zpp_init(void)
{
    if (serial > ZPP_SERIAL_PORT_MAX) {
        pr_err("not loaded: serial=0x%x is not the port of a UART, which has 8\n", serial);
        return -EINVAL;
    }
    return keep ? load_and_stay() : load_and_leave();
}

static void __exit zpp_exit(void)
{
    zpp_debugfs_remove();
    unload();
    zpp_power_ignore();
}

module_init(zpp_init);
module_exit(zpp_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("zpp: loads a thin hypervisor under the running system");
