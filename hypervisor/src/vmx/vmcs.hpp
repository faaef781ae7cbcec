// VMCS fields by width (SDM Vol. 3D, App. B): an access of the wrong width does not compile.
#pragma once
#include "lib/bits.hpp"
#include "vmx/instructions.hpp"

namespace zpp::vmx {

enum class Field16 : u32 {
    vpid = 0x0000,
    guest_es = 0x0800,
    guest_cs = 0x0802,
    guest_ss = 0x0804,
    guest_ds = 0x0806,
    guest_fs = 0x0808,
    guest_gs = 0x080a,
    guest_ldtr = 0x080c,
    guest_tr = 0x080e,
    host_es = 0x0c00,
    host_cs = 0x0c02,
    host_ss = 0x0c04,
    host_ds = 0x0c06,
    host_fs = 0x0c08,
    host_gs = 0x0c0a,
    host_tr = 0x0c0c,
};

enum class Field64 : u32 {
    io_bitmap_a = 0x2000,
    io_bitmap_b = 0x2002,
    msr_bitmaps = 0x2004,
    eptp = 0x201a,
    xss_exiting_bitmap = 0x202c,
    pconfig_exiting_bitmap = 0x203e,
    guest_physical_address = 0x2400,
    vmcs_link_pointer = 0x2800,
    guest_debug_control = 0x2802,
    guest_pat = 0x2804,
    guest_efer = 0x2806,
    guest_perf_global_ctrl = 0x2808,
    guest_pdpte0 = 0x280a,
    guest_pdpte1 = 0x280c,
    guest_pdpte2 = 0x280e,
    guest_pdpte3 = 0x2810,
    guest_bndcfgs = 0x2812,
    guest_rtit_ctl = 0x2814,
    guest_lbr_ctl = 0x2816,
    host_pat = 0x2c00,
    host_efer = 0x2c02,
    host_perf_global_ctrl = 0x2c04,
};

enum class Field32 : u32 {
    pin_based_controls = 0x4000,
    primary_controls = 0x4002,
    exception_bitmap = 0x4004,
    page_fault_mask = 0x4006,
    page_fault_match = 0x4008,
    cr3_target_count = 0x400a,
    exit_controls = 0x400c,
    exit_msr_store_count = 0x400e,
    exit_msr_load_count = 0x4010,
    entry_controls = 0x4012,
    entry_msr_load_count = 0x4014,
    entry_interruption_information = 0x4016,
    entry_exception_error_code = 0x4018,
    entry_instruction_length = 0x401a,
    secondary_controls = 0x401e,
    instruction_error = 0x4400,
    exit_reason = 0x4402,
    exit_interruption_information = 0x4404,
    exit_interruption_error_code = 0x4406,
    idt_vectoring_information = 0x4408,
    idt_vectoring_error_code = 0x440a,
    exit_instruction_length = 0x440c,
    exit_instruction_information = 0x440e,
    guest_es_limit = 0x4800,
    guest_cs_limit = 0x4802,
    guest_ss_limit = 0x4804,
    guest_ds_limit = 0x4806,
    guest_fs_limit = 0x4808,
    guest_gs_limit = 0x480a,
    guest_ldtr_limit = 0x480c,
    guest_tr_limit = 0x480e,
    guest_gdtr_limit = 0x4810,
    guest_idtr_limit = 0x4812,
    guest_es_rights = 0x4814,
    guest_cs_rights = 0x4816,
    guest_ss_rights = 0x4818,
    guest_ds_rights = 0x481a,
    guest_fs_rights = 0x481c,
    guest_gs_rights = 0x481e,
    guest_ldtr_rights = 0x4820,
    guest_tr_rights = 0x4822,
    guest_interruptibility = 0x4824,
    guest_activity = 0x4826,
    guest_sysenter_cs = 0x482a,
    guest_preemption_timer = 0x482e,
    host_sysenter_cs = 0x4c00,
};

enum class FieldNatural : u32 {
    cr0_mask = 0x6000,
    cr4_mask = 0x6002,
    cr0_shadow = 0x6004,
    cr4_shadow = 0x6006,
    exit_qualification = 0x6400,
    guest_linear_address = 0x640a,
    guest_cr0 = 0x6800,
    guest_cr3 = 0x6802,
    guest_cr4 = 0x6804,
    guest_es_base = 0x6806,
    guest_cs_base = 0x6808,
    guest_ss_base = 0x680a,
    guest_ds_base = 0x680c,
    guest_fs_base = 0x680e,
    guest_gs_base = 0x6810,
    guest_ldtr_base = 0x6812,
    guest_tr_base = 0x6814,
    guest_gdtr_base = 0x6816,
    guest_idtr_base = 0x6818,
    guest_dr7 = 0x681a,
    guest_rsp = 0x681c,
    guest_rip = 0x681e,
    guest_rflags = 0x6820,
    guest_pending_debug = 0x6822,
    guest_sysenter_esp = 0x6824,
    guest_sysenter_eip = 0x6826,
    host_cr0 = 0x6c00,
    host_cr3 = 0x6c02,
    host_cr4 = 0x6c04,
    host_fs_base = 0x6c06,
    host_gs_base = 0x6c08,
    host_tr_base = 0x6c0a,
    host_gdtr_base = 0x6c0c,
    host_idtr_base = 0x6c0e,
    host_sysenter_esp = 0x6c10,
    host_sysenter_eip = 0x6c12,
    host_rsp = 0x6c14,
    host_rip = 0x6c16,
};

// The four fields of a segment register.
struct SegmentFields {
    Field16 selector;
    FieldNatural base;
    Field32 limit;
    Field32 rights;
};

// A failed access: before the launch it fails the launch, later it is a crash.
[[gnu::cold]] void on_failed_access(u32 field);

namespace vmcs {

namespace detail {

inline u64 read(u32 field)
{
    u64 value = 0;
    if (!vmread(field, value)) [[unlikely]]
        on_failed_access(field);
    return value;
}

inline void write(u32 field, u64 value)
{
    if (!vmwrite(field, value)) [[unlikely]]
        on_failed_access(field);
}

} // namespace detail

inline u16 read(Field16 field) { return static_cast<u16>(detail::read(static_cast<u32>(field))); }
inline u32 read(Field32 field) { return static_cast<u32>(detail::read(static_cast<u32>(field))); }
inline u64 read(Field64 field) { return detail::read(static_cast<u32>(field)); }
inline u64 read(FieldNatural field) { return detail::read(static_cast<u32>(field)); }

inline void write(Field16 field, u16 value) { detail::write(static_cast<u32>(field), value); }
inline void write(Field32 field, u32 value) { detail::write(static_cast<u32>(field), value); }
inline void write(Field64 field, u64 value) { detail::write(static_cast<u32>(field), value); }
inline void write(FieldNatural field, u64 value) { detail::write(static_cast<u32>(field), value); }

template <class Field, Register R> void write(Field field, R value) { write(field, raw(value)); }

} // namespace vmcs

inline constexpr SegmentFields guest_es{Field16::guest_es, FieldNatural::guest_es_base,
                                        Field32::guest_es_limit, Field32::guest_es_rights};
inline constexpr SegmentFields guest_cs{Field16::guest_cs, FieldNatural::guest_cs_base,
                                        Field32::guest_cs_limit, Field32::guest_cs_rights};
inline constexpr SegmentFields guest_ss{Field16::guest_ss, FieldNatural::guest_ss_base,
                                        Field32::guest_ss_limit, Field32::guest_ss_rights};
inline constexpr SegmentFields guest_ds{Field16::guest_ds, FieldNatural::guest_ds_base,
                                        Field32::guest_ds_limit, Field32::guest_ds_rights};
inline constexpr SegmentFields guest_fs{Field16::guest_fs, FieldNatural::guest_fs_base,
                                        Field32::guest_fs_limit, Field32::guest_fs_rights};
inline constexpr SegmentFields guest_gs{Field16::guest_gs, FieldNatural::guest_gs_base,
                                        Field32::guest_gs_limit, Field32::guest_gs_rights};
inline constexpr SegmentFields guest_ldtr{Field16::guest_ldtr, FieldNatural::guest_ldtr_base,
                                          Field32::guest_ldtr_limit, Field32::guest_ldtr_rights};
inline constexpr SegmentFields guest_tr{Field16::guest_tr, FieldNatural::guest_tr_base,
                                        Field32::guest_tr_limit, Field32::guest_tr_rights};

} // namespace zpp::vmx
