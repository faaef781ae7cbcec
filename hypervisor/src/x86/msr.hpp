// Model-specific registers by their names in the SDM Vol. 4 and the AMD APM Vol. 2, App. A.
#pragma once
#include "x86/control_registers.hpp"

namespace zpp {
namespace x86 {

enum class Msr : u32 {
    ia32_platform_id = 0x17,
    ia32_apic_base = 0x1b,
    ia32_user_msr_ctl = 0x1c,
    ia32_feature_control = 0x3a,
    ia32_spec_ctrl = 0x48,
    ia32_bios_updt_trig = 0x79, // microcode update
    ia32_smm_monitor_ctl = 0x9b,
    ia32_mtrrcap = 0xfe,
    misc_features_enables = 0x140,
    ia32_mcg_cap = 0x179,
    ia32_mcg_status = 0x17a,
    ia32_sysenter_cs = 0x174,
    ia32_sysenter_esp = 0x175,
    ia32_sysenter_eip = 0x176,
    ia32_misc_enable = 0x1a0,
    ia32_fred_rsp0 = 0x1cc,
    ia32_fred_config = 0x1d4, // the last one of FRED
    ia32_debugctl = 0x1d9,
    prmrr_phys_base = 0x1f4,
    prmrr_phys_mask = 0x1f5,
    prmrr_valid_config = 0x1fb,
    ia32_mtrr_physbase0 = 0x200, // IA32_MTRR_PHYSMASK0 follows, and so on
    ia32_mtrr_fix64k_00000 = 0x250,
    ia32_mtrr_fix16k_80000 = 0x258, // two of them
    ia32_mtrr_fix4k_c0000 = 0x268,  // eight of them
    ia32_pat = 0x277,
    prmrr_base_0 = 0x2a0,
    uncore_prmrr_phys_base = 0x2f4,
    uncore_prmrr_phys_mask = 0x2f5,
    ia32_mtrr_def_type = 0x2ff,
    ia32_perf_capabilities = 0x345,
    ia32_perf_global_ctrl = 0x38f,
    ia32_pebs_enable = 0x3f1,
    ia32_mc0_status = 0x401, // IA32_MC0_ADDR follows; the next bank's are 4 further
    ia32_vmx_basic = 0x480,
    ia32_vmx_misc = 0x485,
    ia32_vmx_cr0_fixed0 = 0x486,
    ia32_vmx_cr0_fixed1 = 0x487,
    ia32_vmx_cr4_fixed0 = 0x488,
    ia32_vmx_cr4_fixed1 = 0x489,
    ia32_vmx_procbased_ctls2 = 0x48b,
    ia32_vmx_ept_vpid_cap = 0x48c,
    ia32_vmx_true_pinbased_ctls = 0x48d,
    ia32_vmx_true_procbased_ctls = 0x48e,
    ia32_vmx_true_exit_ctls = 0x48f,
    ia32_vmx_true_entry_ctls = 0x490,
    ia32_vmx_exit_ctls2 = 0x493,
    ia32_rtit_output_base = 0x560,
    ia32_rtit_output_mask_ptrs = 0x561,
    ia32_rtit_ctl = 0x570,
    ia32_rtit_cr3_match = 0x572,
    ia32_rtit_addr0_a = 0x580,
    ia32_rtit_addr3_b = 0x587,
    ia32_u_cet = 0x6a0,
    ia32_s_cet = 0x6a2,
    ia32_interrupt_ssp_table_addr = 0x6a8,
    ia32_x2apic_first = 0x800, // the register at xAPIC offset 0; others follow by offset / 16
    ia32_x2apic_icr = 0x830,
    ia32_tme_activate = 0x982,
    ia32_tme_exclude_mask = 0x983,
    ia32_tme_exclude_base = 0x984,
    ia32_bndcfgs = 0xd90,
    ia32_xss = 0xda0,
    ia32_lbr_0_info = 0x1200,
    ia32_lbr_31_info = 0x121f,
    ia32_seamrr_phys_base = 0x1400,
    ia32_seamrr_phys_mask = 0x1401,
    ia32_lbr_ctl = 0x14ce,
    ia32_lbr_depth = 0x14cf,
    ia32_lbr_0_from_ip = 0x1500,
    ia32_lbr_31_from_ip = 0x151f,
    ia32_lbr_0_to_ip = 0x1600,
    ia32_lbr_31_to_ip = 0x161f,
    ia32_hw_feedback_ptr = 0x17d0,
    ia32_efer = 0xc0000080,
    syscfg = 0xc0010010,
    hwcr = 0xc0010015,
    iorr_base_0 = 0xc0010016, // its mask follows, then the second pair
    iorr_mask_1 = 0xc0010019,
    top_mem = 0xc001001a,
    top_mem2 = 0xc001001d,
    patch_loader = 0xc0010020, // microcode update
    mmio_cfg_base_addr = 0xc0010058,
    smbase = 0xc0010111, // SMM_ADDR and SMM_MASK follow
    smm_mask = 0xc0010113,
    smm_ctl = 0xc0010116,
    smm_key = 0xc0010119,
    rmp_base = 0xc0010132,
    rmp_end = 0xc0010133,
    rmp_cfg = 0xc0010136,
    vm_cr = 0xc0010114,
    vm_hsave_pa = 0xc0010117,
    svm_key = 0xc0010118,
};

constexpr Msr operator+(Msr first, unsigned distance)
{
    return Msr{static_cast<u32>(first) + distance};
}
constexpr unsigned operator-(Msr msr, Msr first)
{
    return static_cast<u32>(msr) - static_cast<u32>(first);
}

enum class ApicBase : u64 {
    bsp = bit(8),
    extd = bit(10), // x2APIC mode
    en = bit(11),   // global enable
    base = bits(51, 12),
};

enum class FeatureControl : u64 {
    lock = bit(0),
    vmx_inside_smx = bit(1),
    vmx_outside_smx = bit(2),
    senter = bits(15, 8),
};

enum class McgStatus : u64 {
    ripv = bit(0), // the interrupted program can continue
    eipv = bit(1),
    mcip = bit(2),
};

enum class MiscFeaturesEnables : u64 {
    cpuid_fault = bit(0),
};

enum class Hwcr : u64 {
    cpuid_user_dis = bit(35),
};

enum class DebugCtl : u64 {
    lbr = bit(0),
    btf = bit(1),
};

enum class SysCfg : u64 {
    mtrr_var_dram_en = bit(20),
    mtrr_tom2_en = bit(21),
    mem_encryption_mod_en = bit(23),
    secure_nested_paging_en = bit(24),
    vmpl_en = bit(25),
    hmk_en = bit(26),
};

enum class VmCr : u64 {
    r_init = bit(1),
    lock = bit(3),
    svmdis = bit(4),
};

// The MSR that has this type.
template <class R> inline constexpr Msr msr_of{};
template <> inline constexpr Msr msr_of<ApicBase> = Msr::ia32_apic_base;
template <> inline constexpr Msr msr_of<FeatureControl> = Msr::ia32_feature_control;
template <> inline constexpr Msr msr_of<Hwcr> = Msr::hwcr;
template <> inline constexpr Msr msr_of<MiscFeaturesEnables> = Msr::misc_features_enables;
template <> inline constexpr Msr msr_of<DebugCtl> = Msr::ia32_debugctl;
template <> inline constexpr Msr msr_of<VmCr> = Msr::vm_cr;
template <> inline constexpr Msr msr_of<Efer> = Msr::ia32_efer;

// Power-on value of IA32_PAT (SDM Vol. 3A, 12.12.4): entry 0 is WB.
constexpr u64 pat_at_power_on = 0x0007040600070406;

} // namespace x86

template <OneOf<x86::ApicBase, x86::FeatureControl, x86::McgStatus, x86::MiscFeaturesEnables,
                x86::Hwcr, x86::DebugCtl, x86::SysCfg, x86::VmCr>
              T>
inline constexpr bool is_register<T> = true;

static_assert(raw(x86::ApicBase::base) == 0x000ffffffffff000);
static_assert(raw(x86::FeatureControl::senter) == 0xff00);

} // namespace zpp
