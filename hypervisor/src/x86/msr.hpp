// Model-specific registers by their names in the Intel SDM Vol. 4 and the AMD APM Vol. 2.
#pragma once
#include "lib/types.hpp"

namespace zpp::x86::msr {

constexpr u32 apic_base = 0x1b; // IA32_APIC_BASE
constexpr u64 apic_base_bsp = bit(8);
constexpr u64 apic_base_x2apic = bit(10);
constexpr u64 apic_base_address = 0x000ffffffffff000;

constexpr u32 feature_control = 0x3a; // IA32_FEATURE_CONTROL
constexpr u64 feature_control_lock = bit(0);
constexpr u64 feature_control_vmx_in_smx = bit(1);
constexpr u64 feature_control_vmx = bit(2);
constexpr u64 feature_control_senter = 0xff00; // SENTER enables, bits 8 to 15

constexpr u32 microcode_update = 0x79; // IA32_BIOS_UPDT_TRIG
constexpr u32 smm_monitor_control = 0x9b;
constexpr u32 mtrr_capability = 0xfe;
constexpr u32 sysenter_cs = 0x174;
constexpr u32 sysenter_esp = 0x175;
constexpr u32 sysenter_eip = 0x176;
constexpr u32 debug_control = 0x1d9; // IA32_DEBUGCTL
constexpr u64 debug_control_btf = bit(1);
constexpr u32 mtrr_variable_base = 0x200; // IA32_MTRR_PHYSBASE0; PHYSMASK0 follows, and so on
constexpr u32 mtrr_fixed_64k = 0x250;
constexpr u32 mtrr_fixed_16k = 0x258; // two of them
constexpr u32 mtrr_fixed_4k = 0x268;  // eight of them
constexpr u32 mtrr_default_type = 0x2ff;
constexpr u32 pat = 0x277;
constexpr u32 vmx_first = 0x480; // IA32_VMX_BASIC
constexpr u32 vmx_last = 0x493;  // IA32_VMX_EXIT_CTLS2

constexpr u32 s_cet = 0x6a2;
constexpr u32 interrupt_ssp_table = 0x6a8;

constexpr u32 x2apic_icr = 0x830;

constexpr u32 efer = 0xc0000080;
constexpr u64 efer_sce = bit(0);
constexpr u64 efer_lme = bit(8);
constexpr u64 efer_lma = bit(10);
constexpr u64 efer_nxe = bit(11);
constexpr u64 efer_svme = bit(12);

// AMD
constexpr u32 patch_loader = 0xc0010020;
constexpr u32 vm_cr = 0xc0010114;
constexpr u64 vm_cr_r_init = bit(1);
constexpr u64 vm_cr_lock = bit(3);
constexpr u64 vm_cr_svmdis = bit(4);
constexpr u32 vm_hsave_pa = 0xc0010117;
constexpr u32 svm_key = 0xc0010118;

// Power-on value of IA32_PAT (SDM Vol. 3A, 12.12.4): entry 0 is WB.
constexpr u64 pat_at_power_on = 0x0007040600070406;

} // namespace zpp::x86::msr
