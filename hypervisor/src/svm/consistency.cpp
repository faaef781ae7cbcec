#include "svm/consistency.hpp"

namespace zpp::svm {
namespace {

template <class T> bool change(T& field, T value)
{
    const bool differs = field != value;
    field = value;
    return differs;
}

constexpr x86::Cr0 acceptable(x86::Cr0 value)
{
    value &= x86::Cr0{0xffffffff};
    return has(value, x86::Cr0::cd) ? value : value & ~x86::Cr0::nw;
}

// A code segment is not both of 64 and of 32 bits.
constexpr u16 acceptable_code(u16 attributes)
{
    constexpr u16 l = 1u << 9, d = 1u << 10;
    return (attributes & l) != 0 ? static_cast<u16>(attributes & ~d) : attributes;
}

} // namespace

bool make_consistent(Vmcb& vmcb, x86::Efer efer_allowed)
{
    bool changed = change(vmcb.cr0, acceptable(vmcb.cr0));
    changed |= change(vmcb.dr6, vmcb.dr6 & x86::Dr6{0xffffffff});
    changed |= change(vmcb.dr7, vmcb.dr7 & 0xffffffff);
    changed |= change(vmcb.efer, (vmcb.efer & efer_allowed) | x86::Efer::svme);
    if (has(vmcb.efer, x86::Efer::lma))
        changed |= change(vmcb.cs.attributes, acceptable_code(vmcb.cs.attributes));
    if (changed)
        vmcb.clean = {};
    return changed;
}

} // namespace zpp::svm
