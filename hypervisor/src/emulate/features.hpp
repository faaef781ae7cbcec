// CPUID features that need more than to be passed on: a bit in the control block, an answer to an
// exit, or state that an exit does not switch. A feature whose needs are not met is hidden, with
// its MSRs. A feature that is not in the table needs nothing and is passed on.
#pragma once
#include "lib/bits.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"

namespace zpp {

// What a feature can need. The vendor says at PREPARE what this CPU meets.
enum class Support : u64 {
    rdtscp = bit(0),
    invpcid = bit(1),
    xsaves = bit(2),
    user_wait = bit(3),
    pconfig = bit(4),
    invlpgb = bit(5),
    bndcfgs = bit(6),          // IA32_BNDCFGS is 0 in the host
    perf_global_ctrl = bit(7), // no counter counts in the host
    pebs = bit(8),             // nor is a record of it written there
    processor_trace = bit(9),  // is off in the host; its output is a guest-physical address
    arch_lbr = bit(10),        // records nothing in the host
    never = bit(63),           // no CPU meets this
};
template <> inline constexpr bool is_register<Support> = true;

inline constexpr Support no_need{};
inline constexpr Support all_support{~raw(Support::never)};

enum class Output : u8 { eax, ebx, ecx, edx, all };
inline constexpr u32 any_subleaf = 0xffffffff;

// Bits of CPUID. `why` says why these needs are enough, or why the feature is hidden.
struct Feature {
    u32 leaf, subleaf;
    Output output;
    u32 bits;
    Support needs;
    const char* name;
    const char* why;
};

// MSRs that exist only with a feature.
struct FeatureMsrs {
    x86::Msr first, last;
    Support needs;
    const char* name;
};

using ReadCpuid = x86::CpuidResult (*)(u32 leaf, u32 subleaf);

// Once, at PREPARE.
void set_support(Support support, ReadCpuid cpuid);

bool is_supported(Support needs);

// Clears the bits of hidden features in an answer of CPUID.
void hide_features(u32 leaf, u32 subleaf, x86::CpuidResult& result);

// Whether the MSR belongs to a hidden feature: for the guest it does not exist.
bool is_hidden_msr(x86::Msr msr);

// Calls visit(context, first, last) for each range of such MSRs.
void for_each_hidden_msr(void (*visit)(void* context, x86::Msr first, x86::Msr last),
                         void* context);

// State components of XSAVES (IA32_XSS) that the CPU has and zpp hides.
u64 hidden_xss();

} // namespace zpp
