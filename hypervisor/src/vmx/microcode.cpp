#include "vmx/microcode.hpp"

namespace zpp::vmx {
namespace {

struct ExtendedTable {
    u32 count;
    u32 checksum;
    u32 reserved[3];
};
static_assert(sizeof(ExtendedTable) == 20);

struct ExtendedSignature {
    u32 signature;
    u32 processor_flags;
    u32 checksum;
};
static_assert(sizeof(ExtendedSignature) == 12);

template <class T> T read(const u8* from)
{
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

u64 data_size(const MicrocodeHeader& header)
{
    return header.data_size != 0 ? header.data_size : 2000;
}

u64 total_size(const MicrocodeHeader& header)
{
    return header.data_size != 0 ? header.total_size : 2048;
}

u32 sum(const u8* bytes, u64 size)
{
    u32 total = 0;
    for (u64 at = 0; at < size; at += sizeof(u32))
        total += read<u32>(bytes + at);
    return total;
}

bool matches(u32 signature, u32 flags, u32 cpu_signature, unsigned platform)
{
    return signature == cpu_signature && (flags == 0 || (flags >> platform & 1) != 0);
}

bool is_for(const u8* update, const MicrocodeHeader& header, u32 signature, unsigned platform)
{
    if (matches(header.signature, header.processor_flags, signature, platform))
        return true;
    const u64 table = sizeof header + data_size(header), size = total_size(header);
    if (size < table + sizeof(ExtendedTable))
        return false;
    const u64 count = read<ExtendedTable>(update + table).count;
    for (u64 i = 0, at = table + sizeof(ExtendedTable);
         i < count && at + sizeof(ExtendedSignature) <= size;
         ++i, at += sizeof(ExtendedSignature)) {
        const auto entry = read<ExtendedSignature>(update + at);
        if (matches(entry.signature, entry.processor_flags, signature, platform))
            return true;
    }
    return false;
}

} // namespace

const char* microcode_fault(const u8* update, u64 bytes, u32 signature, unsigned platform)
{
    if (bytes < sizeof(MicrocodeHeader))
        return "its header is not in memory";
    const auto header = read<MicrocodeHeader>(update);
    if (header.header_version != 1 || header.loader_revision != 1)
        return "its header or loader version is not 1";
    const u64 size = total_size(header);
    if (size % 1024 != 0 || header.data_size % 4 != 0 || sizeof header + data_size(header) > size)
        return "its sizes are not valid";
    if (size > bytes)
        return "not all of it is in memory";
    if (sum(update, size) != 0)
        return "its checksum is wrong";
    if (!is_for(update, header, signature, platform))
        return "it is for another CPU";
    return nullptr;
}

} // namespace zpp::vmx
