// The functions that the compiler calls to copy and fill memory; the core has no C library.
#include <cstddef>

extern "C" {

void* memcpy(void* to, const void* from, std::size_t size)
{
    void* result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return result;
}

void* memset(void* to, int value, std::size_t size)
{
    void* result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}

void* memmove(void* to, const void* from, std::size_t size)
{
    auto* target = static_cast<unsigned char*>(to);
    auto* source = static_cast<const unsigned char*>(from);
    if (target <= source)
        return memcpy(to, from, size);
    while (size-- != 0)
        target[size] = source[size];
    return to;
}

int memcmp(const void* a, const void* b, std::size_t size)
{
    auto* left = static_cast<const unsigned char*>(a);
    auto* right = static_cast<const unsigned char*>(b);
    for (std::size_t i = 0; i < size; ++i)
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    return 0;
}

} // extern "C"
