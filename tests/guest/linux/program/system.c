#include "system.h"

/* The compiler calls it to clear arrays. */
void *memset(void *target, int value, u64 size)
{
    void *result = target;
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
    return result;
}

long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

long syscall3(long number, long a, long b, long c) { return syscall6(number, a, b, c, 0, 0, 0); }

static char line[256];
static u64 line_length;

void put(char c)
{
    if (line_length < sizeof line)
        line[line_length++] = c;
}

void text(const char *s)
{
    while (*s)
        put(*s++);
}

void number(u64 value)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0)
        put(digits[--count]);
}

void end_line(void)
{
    put('\n');
    syscall3(SYS_WRITE, 1, (long)line, (long)line_length);
    line_length = 0;
}

struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

u64 tsc(void)
{
    u32 low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

int run_on(u32 cpu)
{
    u64 mask[AFFINITY_WORDS] = {0};
    mask[cpu / BITS] = 1ul << (cpu % BITS);
    if (syscall3(SYS_SCHED_SETAFFINITY, 0, sizeof mask, (long)mask) != 0)
        return -1;
    u32 now = ~0u;
    syscall3(SYS_GETCPU, (long)&now, 0, 0);
    return now == cpu ? 0 : -1;
}

u64 seconds(void)
{
    struct {
        u64 seconds, nanoseconds;
    } now;
    const long monotonic = 1;
    syscall3(SYS_CLOCK_GETTIME, monotonic, (long)&now, 0);
    return now.seconds;
}
