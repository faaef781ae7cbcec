#define pr_fmt(format) "zpp: " format

#include "checks.h"
#include "hypercall.h"

#include <asm/cpufeature.h>
#include <linux/cpu.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/smp.h>

/* A symbol of kvm.ko for symbol_get(), which vfio uses in the same way. */
struct kvm;
extern void kvm_put_kvm(struct kvm *kvm);

/* When the next virtual machine starts, KVM would enable VT-x or AMD-V, and crash. udev loads it at boot
 * where the CPU has either. */
static bool kvm_is_loaded(void)
{
#if IS_ENABLED(CONFIG_KVM)
    if (!symbol_get(kvm_put_kvm))
        return false;
    symbol_put(kvm_put_kvm);
    return true;
#else
    return false;
#endif
}

static void check_current_cpu(void *any)
{
    if (zpp_cpu_is_held())
        WRITE_ONCE(*(bool *)any, true);
}

/* Checks every CPU: those plugged in after the launch are not virtualized. */
static bool any_cpu_is_virtualized(void)
{
    bool any = false;
    on_each_cpu(check_current_cpu, &any, 1);
    return any;
}

int zpp_check_system(void)
{
    unsigned cpu;
    if (boot_cpu_has(X86_FEATURE_XENPV)) {
        pr_err("not loaded: this Linux is a paravirtualized Xen guest\n");
        return -ENODEV;
    }
    if (any_cpu_is_virtualized()) {
        pr_err("not loaded: zpp is already running on this machine (client=1 only reads it)\n");
        return -EBUSY;
    }
    for_each_present_cpu(cpu)
    {
        if (cpu_online(cpu))
            continue;
        pr_err("not loaded: CPU %u is offline, but zpp needs every CPU "
               "(echo 1 > /sys/devices/system/cpu/cpu%u/online)\n",
               cpu, cpu);
        return -EBUSY;
    }
    if (kvm_is_loaded()) {
        const char *module = boot_cpu_has(X86_FEATURE_VMX) ? "kvm_intel" : "kvm_amd";
        pr_err("not loaded: KVM (%s) is loaded, and two hypervisors cannot share a CPU "
               "(modprobe -r %s kvm)\n",
               module, module);
        return -EBUSY;
    }
    if (zpp_cpu_encrypts_memory()) {
        pr_err("not loaded: the kernel encrypts its memory (boot with mem_encrypt=off)\n");
        return -EOPNOTSUPP;
    }
    return 0;
}

struct hypervisor_version {
    bool known;
    u64 interface, version;
};

static void ask_current_cpu(void *result)
{
    struct zpp_hypercall_registers registers = {0};
    if (zpp_hypercall(ZPP_HYPERCALL_VERSION, &registers) != ZPP_HYPERCALL_OK)
        return;
    *(struct hypervisor_version *)result =
        (struct hypervisor_version){true, registers.rbx, registers.rcx};
}

int zpp_check_client(void)
{
    struct hypervisor_version found = {0};
    unsigned cpu;
    for_each_online_cpu(cpu)
    {
        smp_call_function_single(cpu, ask_current_cpu, &found, 1);
        if (found.known)
            break;
    }
    if (!found.known) {
        pr_err("not loaded: zpp does not run on this machine, so client=1 has nothing to read\n");
        return -ENODEV;
    }
    if (found.version != ZPP_VERSION || found.interface != ZPP_HYPERCALL_INTERFACE) {
        pr_err("not loaded: the hypervisor is zpp %u.%u.%u with interface %llu, but this module is "
               "for %u.%u.%u with interface %u (load the module of the hypervisor's build)\n",
               (u8)(found.version >> 16), (u8)(found.version >> 8), (u8)found.version,
               found.interface, ZPP_VERSION_MAJOR, ZPP_VERSION_MINOR, ZPP_VERSION_PATCH,
               ZPP_HYPERCALL_INTERFACE);
        return -EPROTONOSUPPORT;
    }
    return 0;
}

static int errno_of(enum zpp_status status)
{
    switch (status) {
    case ZPP_OK:
        return 0;
    case ZPP_BAD_ELF:
        return -ENOEXEC;
    case ZPP_BAD_BOOT_INFO:
        return -EINVAL;
    case ZPP_NO_MEMORY:
        return -ENOMEM;
    case ZPP_NO_VIRTUALIZATION:
        return -ENODEV;
    case ZPP_LOCKED_BY_FIRMWARE:
        return -EACCES;
    case ZPP_IN_USE:
        return -EBUSY;
    case ZPP_MISSING_FEATURE:
        return -EOPNOTSUPP;
    default:
        return -EIO;
    }
}

int zpp_report_failure(int cpu, enum zpp_status status, const char *detail)
{
    char where[20] = "";
    if (cpu != ZPP_NO_CPU)
        snprintf(where, sizeof where, "CPU %d: ", cpu);
    if (detail[0] != '\0')
        pr_err("not loaded: %s%s (%s)\n", where, zpp_status_text(status), detail);
    else
        pr_err("not loaded: %s%s\n", where, zpp_status_text(status));
    return errno_of(status);
}
