#include "vmx/entry_checks.hpp"

namespace zpp::vmx {
namespace {

using State = EntryState;
using x86::Cr0;

constexpr SegmentFields data_segments[] = {guest_ds, guest_es, guest_fs, guest_gs};
constexpr SegmentFields code_stack_data[] = {guest_cs, guest_ss, guest_ds,
                                             guest_es, guest_fs, guest_gs};

AccessRights rights(const State& s, const SegmentFields& segment)
{
    return AccessRights{s.get(segment.rights)};
}
unsigned type(const State& s, const SegmentFields& segment)
{
    return raw(rights(s, segment) & AccessRights::type);
}
unsigned dpl(const State& s, const SegmentFields& segment)
{
    return raw(rights(s, segment) & AccessRights::dpl) >> 5;
}
bool usable(const State& s, const SegmentFields& segment)
{
    return !has(rights(s, segment), AccessRights::unusable);
}
bool unrestricted(const State& s)
{
    return has(s.secondary(), SecondaryControls::unrestricted_guest);
}

// The rest of the rights of a segment that is not that of virtual-8086 mode.
bool limit_fits_granularity(const State& s, const SegmentFields& segment)
{
    const u32 limit = s.get(segment.limit);
    return has(rights(s, segment), AccessRights::g) ? (limit & 0xfff) == 0xfff : limit >> 20 == 0;
}
bool has_no_reserved_bits(const State& s, const SegmentFields& segment)
{
    return (s.get(segment.rights) & (bits(31, 17) | bits(11, 8))) == 0;
}

// Whether it holds outside virtual-8086 mode, for CS and for those of the others that are usable.
template <std::size_t count, class Rule>
bool each(const State& s, const SegmentFields (&segments)[count], Rule rule)
{
    if (s.virtual_8086())
        return true;
    for (const SegmentFields& segment : segments) {
        const bool counts = segment.selector == Field16::guest_cs || usable(s, segment);
        if (counts && !rule(segment))
            return false;
    }
    return true;
}

bool is_virtual_8086_segment(const State& s, const SegmentFields& segment)
{
    return s.get(segment.base) == u64{s.get(segment.selector)} << 4 &&
           s.get(segment.limit) == 0xffff && s.get(segment.rights) == 0xf3;
}

bool code_type_is_valid(const State& s)
{
    const unsigned code = type(s, guest_cs);
    return (code & 9) == 9 || (code == 3 && unrestricted(s));
}

bool code_dpl_is_valid(const State& s)
{
    const unsigned code = dpl(s, guest_cs), stack = dpl(s, guest_ss);
    switch (type(s, guest_cs)) {
    case 3: return code == 0;
    case 9:
    case 11: return code == stack;
    default: return code <= stack;
    }
}

bool stack_dpl_is_valid(const State& s)
{
    if (!unrestricted(s) && dpl(s, guest_ss) != (s.get(guest_ss.selector) & 3u))
        return false;
    const bool must_be_0 = type(s, guest_cs) == 3 || !has(s.cr0(), Cr0::pe);
    return !must_be_0 || dpl(s, guest_ss) == 0;
}

// An unusable LDTR has no rules.
bool ldtr(const State& s, bool (*rule)(const State& s, const SegmentFields& segment))
{
    return !usable(s, guest_ldtr) || rule(s, guest_ldtr);
}

bool system_rights_are_valid(const State& s, const SegmentFields& segment)
{
    return !has(rights(s, segment), AccessRights::s) && has(rights(s, segment), AccessRights::p) &&
           has_no_reserved_bits(s, segment);
}

constexpr EntryRule rules[] = {
    {"27.3.1.2", "TR is usable and not in the LDT",
     [](const State& s) { return usable(s, guest_tr) && (s.get(guest_tr.selector) & 4) == 0; }},
    {"27.3.1.2", "LDTR is not in the LDT",
     [](const State& s) {
         return !usable(s, guest_ldtr) || (s.get(guest_ldtr.selector) & 4) == 0;
     }},
    {"27.3.1.2", "SS.RPL is CS.RPL",
     [](const State& s) {
         return s.virtual_8086() || unrestricted(s) ||
                ((s.get(guest_ss.selector) ^ s.get(guest_cs.selector)) & 3) == 0;
     }},
    {"27.3.1.2", "virtual-8086 mode has its segments",
     [](const State& s) {
         for (const SegmentFields& segment : code_stack_data)
             if (s.virtual_8086() && !is_virtual_8086_segment(s, segment))
                 return false;
         return true;
     }},
    {"27.3.1.2", "the bases of TR, LDTR, FS and GS are canonical",
     [](const State& s) {
         return s.canonical(s.get(guest_tr.base)) && s.canonical(s.get(guest_fs.base)) &&
                s.canonical(s.get(guest_gs.base)) &&
                (!usable(s, guest_ldtr) || s.canonical(s.get(guest_ldtr.base)));
     }},
    {"27.3.1.2", "the bases of CS, SS, DS and ES have 32 bits",
     [](const State& s) {
         constexpr SegmentFields segments[] = {guest_cs, guest_ss, guest_ds, guest_es};
         return each(s, segments, [&](const auto& g) { return s.get(g.base) >> 32 == 0; });
     }},
    {"27.3.1.2", "CS has the type of accessed code",
     [](const State& s) { return s.virtual_8086() || code_type_is_valid(s); }},
    {"27.3.1.2", "SS has the type of accessed, writable data",
     [](const State& s) {
         constexpr SegmentFields segments[] = {guest_ss};
         return each(s, segments, [&](const auto& g) { return (type(s, g) & ~4u) == 3; });
     }},
    {"27.3.1.2", "DS, ES, FS and GS are accessed and readable",
     [](const State& s) {
         return each(s, data_segments, [&](const auto& g) {
             return (type(s, g) & 1) != 0 && (type(s, g) & 10) != 8;
         });
     }},
    {"27.3.1.2", "code and data segments have S set",
     [](const State& s) {
         return each(s, code_stack_data,
                     [&](const auto& g) { return has(rights(s, g), AccessRights::s); });
     }},
    {"27.3.1.2", "CS.DPL fits its type and SS.DPL",
     [](const State& s) { return s.virtual_8086() || code_dpl_is_valid(s); }},
    {"27.3.1.2", "SS.DPL fits the mode",
     [](const State& s) { return s.virtual_8086() || stack_dpl_is_valid(s); }},
    {"27.3.1.2", "DS, ES, FS and GS have DPL of at least RPL",
     [](const State& s) {
         return unrestricted(s) || each(s, data_segments, [&](const auto& g) {
                    return type(s, g) > 11 || dpl(s, g) >= (s.get(g.selector) & 3u);
                });
     }},
    {"27.3.1.2", "segments are present",
     [](const State& s) {
         return each(s, code_stack_data,
                     [&](const auto& g) { return has(rights(s, g), AccessRights::p); });
     }},
    {"27.3.1.2", "reserved bits of access rights are 0",
     [](const State& s) {
         return each(s, code_stack_data, [&](const auto& g) { return has_no_reserved_bits(s, g); });
     }},
    {"27.3.1.2", "64-bit code has CS.D 0",
     [](const State& s) {
         const AccessRights cs = rights(s, guest_cs);
         return s.virtual_8086() || !s.ia32e() || !has(cs, AccessRights::l) ||
                !has(cs, AccessRights::db);
     }},
    {"27.3.1.2", "limits fit their granularity",
     [](const State& s) {
         return each(s, code_stack_data,
                     [&](const auto& g) { return limit_fits_granularity(s, g); });
     }},
    {"27.3.1.2", "TR is a busy TSS of the mode",
     [](const State& s) {
         return type(s, guest_tr) == 11 || (type(s, guest_tr) == 3 && !s.ia32e());
     }},
    {"27.3.1.2", "the rights and the limit of TR are valid",
     [](const State& s) {
         return system_rights_are_valid(s, guest_tr) && limit_fits_granularity(s, guest_tr);
     }},
    {"27.3.1.2", "LDTR is an LDT",
     [](const State& s) { return !usable(s, guest_ldtr) || type(s, guest_ldtr) == 2; }},
    {"27.3.1.2", "the rights and the limit of LDTR are valid",
     [](const State& s) {
         return ldtr(s, system_rights_are_valid) && ldtr(s, limit_fits_granularity);
     }},
};

} // namespace

constinit const EntryRules segment_rules = rules;

} // namespace zpp::vmx
