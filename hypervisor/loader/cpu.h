/* What a loader asks of the CPU it runs on. */
#ifndef ZPP_LOADER_CPU_H
#define ZPP_LOADER_CPU_H

#include "zpp/boot_info.h"

/* CPUID.80000008H:EAX[7:0], 36 where that leaf is missing. */
unsigned zpp_cpu_physical_address_bits(void);

/* Whether nested paging on this CPU has 1 GiB pages (IA32_VMX_EPT_VPID_CAP[17]; AMD-V: CPUID). */
int zpp_cpu_has_large_nested_pages(void);

/* Paging levels in use: CR4.LA57 ? 5 : 4. */
unsigned zpp_cpu_paging_levels(void);

/* IA32_EFER.NXE is switched on by the trampoline; this says whether the CPU has it. */
int zpp_cpu_has_no_execute(void);

/* The ID of this CPU's local APIC: the x2APIC's where CPUID has it. */
uint32_t zpp_cpu_apic_id(void);

/* Whether CR3 has the encryption bit of AMD's SME set: the core does not know that bit. */
int zpp_cpu_encrypts_memory(void);

/* Everything of struct zpp_cpu_state but rsp, rip and rflags, which the trampoline fills in.
 * Interrupts must be off until the CPU has left the trampoline. */
void zpp_cpu_capture(struct zpp_cpu_state *state);

/* After leaving VMX or SVM operation: the registers that the trampoline does not restore. */
void zpp_cpu_restore(const struct zpp_cpu_state *state);

/* RFLAGS before; then interrupts are off. */
uint64_t zpp_cpu_interrupts_off(void);
void zpp_cpu_interrupts_restore(uint64_t rflags);

/* A hypercall's arguments, then its results (zpp/hypercall.h). */
struct zpp_hypercall_registers {
    uint64_t rbx, rcx, rdx, rsi;
};

/* Makes a hypercall on this CPU, which zpp must have virtualized. Returns an enum
 * zpp_hypercall_status. */
uint64_t zpp_cpu_hypercall(uint32_t number, struct zpp_hypercall_registers *registers);

/* Under zpp: whether it holds this CPU with AMD-V, so that the hypercall is VMMCALL. */
int zpp_cpu_is_amd(void);

/* Whether CPUID shows zpp's signature. */
int zpp_cpu_is_held(void);

#endif
