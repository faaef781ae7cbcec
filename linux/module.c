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
    return zpp_loader_prepare(&cpus.loader, &request);
}

/* Takes the hypervisor off every CPU. If one does not let go, the memory stays the hypervisor's. */
static bool give_back(void)
{
    const bool free = zpp_cpus_devirtualize(&cpus);
    if (!free)
        pr_err("a CPU does not come back: the hypervisor keeps its memory\n");
    return free;
}

static int __init refuse(enum zpp_status status)
{
    const int error = zpp_refusal_of(status, zpp_loader_detail(&cpus.loader));
    zpp_memory_free(&memory); /* which holds the detail */
    return error;
}

static int __init launch(void)
{
    enum zpp_status status = prepare();
    if (status != ZPP_OK)
        return refuse(status);
    status = zpp_cpus_launch(&cpus);
    if (status == ZPP_OK && !keep)
        status = zpp_loader_commit();
    if (status == ZPP_OK)
        return 0;
    return give_back() ? refuse(status) : -EIO;
}

/* All under one lock: no CPU comes or goes between the check, the launch and the watch. */
static int __init load(void)
{
    int error = zpp_refusal();
    if (error)
        return error;
    if (!zpp_cpus_find(&cpus, keep ? cpu_possible_mask : cpu_online_mask))
        return -ENOMEM;
    error = launch();
    if (!error && keep) {
        error = zpp_hotplug_watch(&cpus);
        if (error && give_back())
            zpp_memory_free(&memory);
    }
    if (error)
        zpp_cpus_forget(&cpus);
    return error;
}

static void unload(void)
{
    cpus_read_lock();
    if (memory.count != 0) {
        if (give_back())
            zpp_memory_free(&memory);
        memory.count = 0;
        zpp_hotplug_ignore();
        zpp_cpus_forget(&cpus);
    }
    cpus_read_unlock();
}

static int __init zpp_init(void)
{
    int error;
    cpus_read_lock();
    error = load();
    cpus_read_unlock();
    if (error)
        return error;
    zpp_core_log_print();
    pr_info("loaded: the hypervisor holds %u CPUs\n", num_online_cpus());
    if (!keep) {
        if (num_possible_cpus() > num_online_cpus())
            pr_info("CPUs that are plugged in later run beside it (keep=1 takes them)\n");
        pr_info("the module leaves now, the hypervisor stays: \"not permitted\" is its success\n");
        zpp_cpus_forget(&cpus);
        return -EPERM;
    }
    error = zpp_power_watch(unload);
    if (error) {
        unload();
        return error;
    }
    zpp_debugfs_add();
    return 0;
}

static void __exit zpp_exit(void)
{
    zpp_debugfs_remove();
    zpp_power_ignore();
    unload();
    pr_info("unloaded: the hypervisor has left every CPU\n");
}

module_init(zpp_init);
module_exit(zpp_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("zpp: loads a thin hypervisor under the running system");
