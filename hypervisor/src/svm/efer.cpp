#include "svm/efer.hpp"

namespace zpp::svm {

using x86::Efer;

Efer efer_by_cpuid(x86::CpuidResult (*cpuid)(u32, u32))
{
    const x86::CpuidResult extended = cpuid(0x80000001, 0);
    const u32 last = cpuid(0x80000000, 0).eax;
    Efer allowed = Efer::sce | Efer::lme | Efer::lma | Efer::nxe;
    if ((extended.edx & bit(25)) != 0)
        allowed |= Efer::ffxsr;
    if ((extended.ecx & bit(17)) != 0)
        allowed |= Efer::tce;
    if (last >= 0x80000008) {
        const x86::CpuidResult features = cpuid(0x80000008, 0);
        if ((features.ebx & bit(8)) != 0)
            allowed |= Efer::mcommit;
        if ((features.ebx & bit(13)) != 0)
            allowed |= Efer::intwb;
        if ((features.ebx & bit(20)) == 0) // the flag means: not supported
            allowed |= Efer::lmsle;
    }
    if (last >= 0x80000021) {
        const x86::CpuidResult features = cpuid(0x80000021, 0);
        if ((features.eax & bit(7)) != 0)
            allowed |= Efer::uaie;
        if ((features.eax & bit(8)) != 0)
            allowed |= Efer::aibrse;
    }
    return allowed;
}

// One bit at a time, so that one that faults does not hide the others. The core runs in 64-bit
// mode: LME and LMA are there, and SVME is not for the guest. The bits have no effect on it: LMSLE
// checks limits at CPL 3 only (AMD APM Vol. 2, 4.12.2).
Efer efer_by_trial(Efer wanted, bool (*write)(Efer), Efer (*read)())
{
    const Efer before = read();
    Efer found = wanted & before;
    for (u64 bits = raw(wanted & ~before); bits != 0; bits &= bits - 1) {
        const Efer one{bits & -bits};
        if (write(before | one) && has(read(), one))
            found |= one;
        (void)write(before);
    }
    return found;
}

} // namespace zpp::svm
