/*
 * spoil.ko, for the tests: until it is unloaded, one CPU looks as if zpp could not be launched on it.
 *
 *   cpu=N           the CPU
 *   how=used        as if another hypervisor used it (VT-x: CR4.VMXE; AMD-V: EFER.SVME)
 *   how=locked      as if the firmware had locked AMD-V off (VM_CR.SVMDIS)
 */
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/string.h>

#define VM_CR_SVMDIS (1u << 4)

static unsigned cpu;
module_param(cpu, uint, 0444);
static char *how = "used";
module_param(how, charp, 0444);

static void change_msr(u32 msr, u32 bit, bool on)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    low = on ? low | bit : low & ~bit;
    __asm__ volatile("wrmsr" : : "c"(msr), "a"(low), "d"(high) : "memory");
}

static void change_cr4(u64 bit, bool on)
{
    u64 value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    value = on ? value | bit : value & ~bit;
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static void spoil(void *on)
{
    if (strcmp(how, "locked") == 0)
        change_msr(MSR_VM_CR, VM_CR_SVMDIS, on);
    else if (boot_cpu_has(X86_FEATURE_SVM))
        change_msr(MSR_EFER, EFER_SVME, on);
    else
        change_cr4(X86_CR4_VMXE, on);
}

static int __init spoil_init(void) { return smp_call_function_single(cpu, spoil, &cpu, 1); }

static void __exit spoil_exit(void) { smp_call_function_single(cpu, spoil, NULL, 1); }

module_init(spoil_init);
module_exit(spoil_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("makes one CPU look as if zpp could not be launched on it");
