/* Features and state of the CPU that the loader runs on. */
#ifndef ZPP_LOADER_CPU_H
#define ZPP_LOADER_CPU_H

#include "zpp/boot_info.h"
#include "zpp/requirements.h"

/* CPUID.80000008H:EAX[7:0]; 36 without that leaf. */
unsigned zpp_cpu_physical_address_bits(void);

/* Whether nested paging has 1 GiB pages (IA32_VMX_EPT_VPID_CAP[17]; AMD-V: CPUID). */
int zpp_cpu_has_large_nested_pages(void);

/* Paging levels in use: CR4.LA57 ? 5 : 4. */
unsigned zpp_cpu_paging_levels(void);

/* The first requirement of the group that this CPU does not meet, or a null pointer. */
const struct zpp_requirement *zpp_cpu_missing(enum zpp_group group);

/* The ID of this CPU's local APIC; its x2APIC ID if CPUID reports one. */
uint32_t zpp_cpu_apic_id(void);

/* Whether CR3 has the encryption bit of AMD's SME set, which the core does not support. */
int zpp_cpu_encrypts_memory(void);

/* Fills in struct zpp_cpu_state except rsp, rip and rflags, which the trampoline fills in.
 * Interrupts must be disabled until the CPU has left the trampoline. */
void zpp_cpu_capture(struct zpp_cpu_state *state);

/* After devirtualizing: restores the registers that the trampoline does not. */
void zpp_cpu_restore(const struct zpp_cpu_state *state);

/* Disables interrupts; returns RFLAGS from before. */
uint64_t zpp_cpu_interrupts_off(void);
void zpp_cpu_interrupts_restore(uint64_t rflags);

/* A hypercall's arguments, then its results (zpp/hypercall.h). */
struct zpp_hypercall_registers {
    uint64_t rbx, rcx, rdx, rsi;
};

/* Makes a hypercall on this CPU, which zpp must have virtualized. Returns an enum
 * zpp_hypercall_status. */
uint64_t zpp_cpu_hypercall(uint32_t number, struct zpp_hypercall_registers *registers);

/* Under zpp: whether it uses AMD-V, so that the hypercall is VMMCALL. */
int zpp_cpu_is_amd(void);

/* Under zpp: this CPU's index, as in the log and in the hypercalls. */
uint32_t zpp_cpu_index(void);

/* Whether this CPU runs under zpp: CPUID has its signature, for the one that asks with the key. */
int zpp_cpu_is_held(void);

#endif
