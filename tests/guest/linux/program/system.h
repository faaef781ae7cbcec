/* System calls, lines of output and CPU instructions, without a C library. */
#ifndef ZPP_GUEST_SYSTEM_H
#define ZPP_GUEST_SYSTEM_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
    SYS_WRITE = 1,
    SYS_OPEN = 2,
    SYS_MMAP = 9,
    SYS_MUNMAP = 11,
    SYS_IOCTL = 16,
    SYS_SCHED_YIELD = 24,
    SYS_EXIT = 60,
    SYS_MODIFY_LDT = 154,
    SYS_REBOOT = 169,
    SYS_IOPL = 172,
    SYS_SCHED_SETAFFINITY = 203,
    SYS_SCHED_GETAFFINITY = 204,
    SYS_CLOCK_GETTIME = 228,
    SYS_GETCPU = 309,
    SYS_FINIT_MODULE = 313,
    SYS_KEXEC_FILE_LOAD = 320,
};

long syscall6(long number, long a, long b, long c, long d, long e, long f);
long syscall3(long number, long a, long b, long c);

/* Append to the current line. end_line() writes it with one system call, so that lines of several
 * processes do not mix. */
void put(char c);
void text(const char *s);
void number(u64 value);
void end_line(void);

struct cpuid {
    u32 eax, ebx, ecx, edx;
};

struct cpuid cpuid(u32 leaf, u32 subleaf);
u64 tsc(void);

/* Moves this process to a CPU. Returns 0, or -1 if it cannot run there. */
int run_on(u32 cpu);

/* The CPUs that this process may run on, one bit each. */
enum { AFFINITY_WORDS = 128, BITS = 64, MAX_CPUS = AFFINITY_WORDS * BITS };

/* The monotonic clock. */
u64 seconds(void);

#endif
