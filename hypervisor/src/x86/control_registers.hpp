// Bits of the control registers and RFLAGS (SDM Vol. 3A, 2.5 and 2.3).
#pragma once
#include "lib/types.hpp"

namespace zpp::x86 {

constexpr u64 cr0_pe = bit(0);
constexpr u64 cr0_mp = bit(1);
constexpr u64 cr0_et = bit(4);
constexpr u64 cr0_ne = bit(5);
constexpr u64 cr0_wp = bit(16);
constexpr u64 cr0_nw = bit(29);
constexpr u64 cr0_cd = bit(30);
constexpr u64 cr0_pg = bit(31);

constexpr u64 cr4_pse = bit(4);
constexpr u64 cr4_pae = bit(5);
constexpr u64 cr4_mce = bit(6);
constexpr u64 cr4_pge = bit(7);
constexpr u64 cr4_la57 = bit(12);
constexpr u64 cr4_vmxe = bit(13);
constexpr u64 cr4_smxe = bit(14);
constexpr u64 cr4_osxsave = bit(18);
constexpr u64 cr4_smep = bit(20);
constexpr u64 cr4_smap = bit(21);
constexpr u64 cr4_pke = bit(22);

constexpr u64 rflags_fixed = bit(1);
constexpr u64 rflags_tf = bit(8);

constexpr u64 dr6_bs = bit(14);
constexpr u64 dr6_at_reset = 0xffff0ff0;
constexpr u64 dr7_at_reset = 0x400;

} // namespace zpp::x86
