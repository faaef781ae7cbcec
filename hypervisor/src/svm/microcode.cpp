#include "svm/microcode.hpp"

namespace zpp::svm {
namespace {

constexpr unsigned extended_family(u32 signature) { return signature >> 20 & 0xf; }

bool is_date(u32 date)
{
    const u32 month = date >> 24, day = date >> 16 & 0xff, year = date & 0xffff;
    return month >= 0x01 && month <= 0x12 && day >= 0x01 && day <= 0x31 && year >= 0x2000;
}

} // namespace

const char* patch_fault(const u8* patch, u64 bytes, u32 signature)
{
    PatchHeader header;
    if (bytes < sizeof header)
        return "its header is not in memory";
    __builtin_memcpy(&header, patch, sizeof header);
    if (!is_date(header.date) || header.patch_id == 0)
        return "its header is not valid";
    if (header.processor_revision >> 12 != extended_family(signature))
        return "it is for another family of CPUs";
    return nullptr;
}

} // namespace zpp::svm
