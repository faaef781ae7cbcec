// The control registers, EFER, RFLAGS and DR6 (SDM Vol. 3A, 2.2.1 to 2.5 and 18.2.3; AMD APM Vol.
// 2, 3.1.7).
#pragma once
#include "lib/bits.hpp"

namespace zpp {
namespace x86 {

enum class Cr0 : u64 {
    pe = bit(0),
    mp = bit(1),
    em = bit(2),
    ts = bit(3),
    et = bit(4),
    ne = bit(5),
    wp = bit(16),
    nw = bit(29),
    cd = bit(30),
    pg = bit(31),
};

enum class Cr4 : u64 {
    pse = bit(4),
    pae = bit(5),
    mce = bit(6),
    pge = bit(7),
    la57 = bit(12),
    vmxe = bit(13),
    smxe = bit(14),
    pcide = bit(17),
    osxsave = bit(18),
    smep = bit(20),
    smap = bit(21),
    pke = bit(22),
    cet = bit(23),
};

enum class Efer : u64 {
    sce = bit(0),
    lme = bit(8),
    lma = bit(10),
    nxe = bit(11),
    svme = bit(12),
    lmsle = bit(13),
    ffxsr = bit(14),
    tce = bit(15),
    mcommit = bit(17),
    intwb = bit(18),
    uaie = bit(20),
    aibrse = bit(21),
};

enum class Rflags : u64 {
    always_set = bit(1),
    tf = bit(8),
    if_ = bit(9),
    nt = bit(14),
    rf = bit(16),
    vm = bit(17),
    at_reset = always_set,
};

enum class Dr6 : u64 {
    bs = bit(14),
    at_reset = 0xffff0ff0,
};

constexpr u64 dr7_at_reset = 0x400;

} // namespace x86

template <OneOf<x86::Cr0, x86::Cr4, x86::Efer, x86::Rflags, x86::Dr6> T>
inline constexpr bool is_register<T> = true;

// What a 64-bit Linux runs with, as the CPU holds it.
static_assert(raw(x86::Cr0::pe | x86::Cr0::mp | x86::Cr0::et | x86::Cr0::ne | x86::Cr0::wp |
                  x86::Cr0::pg) == 0x80010033);
static_assert(raw(x86::Efer::sce | x86::Efer::lme | x86::Efer::lma | x86::Efer::nxe) == 0xd01);

} // namespace zpp
