/*
 * zpp-guest: looks at the CPUs and the hypervisor from inside the small Linux guest.
 * Freestanding and static: system calls only, so it needs no libc in the initramfs.
 *
 *   zpp-guest cpus [N]          one line for each CPU, or for CPU N: which hypervisor it sees
 *   zpp-guest tsc               the TSC: ticks since reset, where nobody changed it
 *   zpp-guest cpuid-ticks       the fewest ticks that one CPUID takes
 *   zpp-guest stress CPU SECS   CPUID, page faults and migrations, starting on CPU
 *   zpp-guest ldt CPU SECS      looks whether ES keeps a base of its own (a segment of an LDT)
 *   zpp-guest drain             waits until the serial port has sent everything
 *   zpp-guest load FILE [WORDS] loads a kernel module; prints the error's number (0: none)
 *   zpp-guest kexec KERNEL INITRD WORDS   starts another kernel in place of this one
 *   zpp-guest booted            0 the first time since power-on, then 1 (a byte of CMOS)
 */
#include <zpp/hypercall.h>

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

/* The compiler calls it to clear arrays. */
void *memset(void *target, int value, u64 size)
{
    void *result = target;
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
    return result;
}

enum { AFFINITY_WORDS = 128, BITS = 64, MAX_CPUS = AFFINITY_WORDS * BITS };

static long syscall6(long number, long a, long b, long c, long d, long e, long f)
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

static long syscall3(long number, long a, long b, long c)
{
    return syscall6(number, a, b, c, 0, 0, 0);
}

_Noreturn static void leave(int status)
{
    for (;;)
        syscall3(SYS_EXIT, status, 0, 0);
}

/* A line is collected and written at once, so that lines of several processes stay whole. */
static char line[256];
static u64 line_length;

static void put(char c)
{
    if (line_length < sizeof line)
        line[line_length++] = c;
}

static void text(const char *s)
{
    while (*s)
        put(*s++);
}

static void number(u64 value)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0)
        put(digits[--count]);
}

static void end_line(void)
{
    put('\n');
    syscall3(SYS_WRITE, 1, (long)line, (long)line_length);
    line_length = 0;
}

struct cpuid {
    u32 eax, ebx, ecx, edx;
};

static struct cpuid cpuid(u32 leaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

static u64 tsc(void)
{
    u32 low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

static int run_on(u32 cpu)
{
    u64 mask[AFFINITY_WORDS] = {0};
    mask[cpu / BITS] = 1ul << (cpu % BITS);
    if (syscall3(SYS_SCHED_SETAFFINITY, 0, sizeof mask, (long)mask) != 0)
        return -1;
    u32 now = ~0u;
    syscall3(SYS_GETCPU, (long)&now, 0, 0);
    return now == cpu ? 0 : -1;
}

static void put_signature(struct cpuid leaf)
{
    const u32 words[3] = {leaf.ebx, leaf.ecx, leaf.edx};
    for (int i = 0; i < 12; i++) {
        const u8 c = (u8)(words[i / 4] >> (i % 4 * 8));
        put(c >= ' ' && c < 127 ? (char)c : '.');
    }
}

static int is_zpp(struct cpuid leaf)
{
    return leaf.ebx == ZPP_SIGNATURE_EBX && leaf.ecx == ZPP_SIGNATURE_ECX &&
           leaf.edx == ZPP_SIGNATURE_EDX;
}

static int show_cpu(u32 cpu)
{
    if (run_on(cpu) != 0)
        return -1;
    text("CPU ");
    number(cpu);
    if (!(cpuid(1).ecx >> 31)) {
        text(": no hypervisor");
        end_line();
        return 0;
    }
    const struct cpuid signature = cpuid(ZPP_CPUID_SIGNATURE_LEAF);
    text(": hypervisor ");
    put_signature(signature);
    if (is_zpp(signature)) {
        const u32 version = cpuid(ZPP_CPUID_VERSION_LEAF).eax;
        text(" version ");
        number(version >> 16);
        put('.');
        number(version >> 8 & 0xff);
        put('.');
        number(version & 0xff);
    }
    end_line();
    return 0;
}

/* Without an argument: every CPU this process may run on. */
static int show_cpus(void)
{
    u64 mask[AFFINITY_WORDS] = {0};
    syscall3(SYS_SCHED_GETAFFINITY, 0, sizeof mask, (long)mask);
    int result = 0;
    for (u32 cpu = 0; cpu < MAX_CPUS; cpu++)
        if (mask[cpu / BITS] >> (cpu % BITS) & 1)
            result |= show_cpu(cpu);
    return result;
}

static int show_tsc(void)
{
    text("TSC ");
    number(tsc());
    end_line();
    return 0;
}

static int show_cpuid_ticks(void)
{
    u64 fewest = ~0ul;
    for (int i = 0; i < 1000; i++) {
        const u64 start = tsc();
        cpuid(1);
        const u64 ticks = tsc() - start;
        if (ticks < fewest)
            fewest = ticks;
    }
    text("CPUID ");
    number(fewest);
    text(" ticks");
    end_line();
    return 0;
}

static u64 seconds(void)
{
    struct {
        u64 seconds, nanoseconds;
    } now;
    const long monotonic = 1;
    syscall3(SYS_CLOCK_GETTIME, monotonic, (long)&now, 0);
    return now.seconds;
}

/* Maps fresh pages, writes and reads them back, and gives them back. */
static int touch_memory(u64 pattern)
{
    enum { SIZE = 1 << 20, PAGE = 4096, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };
    u8 *memory = (u8 *)syscall6(SYS_MMAP, 0, SIZE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
    if ((u64)memory > ~4095ul)
        return -1;
    int bad = 0;
    for (u64 i = 0; i < SIZE; i += PAGE)
        *(volatile u64 *)(memory + i) = pattern ^ i;
    for (u64 i = 0; i < SIZE; i += PAGE)
        bad |= *(volatile u64 *)(memory + i) != (pattern ^ i);
    syscall3(SYS_MUNMAP, (long)memory, SIZE, 0);
    return bad ? -1 : 0;
}

static int stress(u32 first_cpu, u64 duration)
{
    const struct cpuid expected = cpuid(ZPP_CPUID_SIGNATURE_LEAF);
    const u64 end = seconds() + duration;
    u32 cpu = first_cpu;
    u64 rounds = 0;
    while (seconds() < end) {
        if (run_on(cpu) == 0)
            cpu++;
        else
            cpu = 0;
        const struct cpuid now = cpuid(ZPP_CPUID_SIGNATURE_LEAF);
        if (now.ebx != expected.ebx || now.ecx != expected.ecx || now.edx != expected.edx ||
            touch_memory(rounds) != 0) {
            text("stress: wrong result in round ");
            number(rounds);
            end_line();
            return -1;
        }
        syscall3(SYS_SCHED_YIELD, 0, 0, 0);
        rounds++;
    }
    text("stress: ");
    number(rounds);
    text(" rounds from CPU ");
    number(first_cpu);
    end_line();
    return 0;
}

/* What ES:0 is in 32-bit code, where a segment's base counts. Of RSP only the lower half is sure to
 * survive that. */
static u32 read_at_es(void)
{
    static u64 stack;
    u32 value;
    __asm__ volatile("movq %%rsp, %1\n"
                     "ljmpl *0f\n"               /* QEMU 7.2 cannot do a far return here */
                     "0: .long 1f; .word 0x23\n" /* Linux's 32-bit code segment */
                     ".code32\n"
                     "1: movl %%es:0, %%eax\n"
                     "ljmp $0x33, $2f\n" /* its 64-bit one */
                     ".code64\n"
                     "2: movq %1, %%rsp\n"
                     : "=a"(value), "+m"(stack)
                     :
                     : "memory", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15");
    return value;
}

static int watch_ldt(u32 cpu, u64 duration)
{
    static volatile u32 cell = 0x600df00d;
    struct {
        u32 entry, base, limit, flags;
    } segment = {0, (u32)(u64)&cell, 0xfff, 1}; /* 32-bit data, writable */
    const u32 write = 0x11, first_of_ldt = 7;
    const u64 end = seconds() + duration;
    if (run_on(cpu) != 0 || syscall3(SYS_MODIFY_LDT, write, (long)&segment, sizeof segment) != 0)
        return -1;
    __asm__ volatile("movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(first_of_ldt));
    while (seconds() < end) {
        u32 es, fs, gs;
        __asm__ volatile("movl %%es, %0; movl %%fs, %1; movl %%gs, %2"
                         : "=r"(es), "=r"(fs), "=r"(gs));
        if (es != first_of_ldt || fs != first_of_ldt || gs != first_of_ldt ||
            read_at_es() != cell) {
            text("ldt: another segment on CPU ");
            number(cpu);
            end_line();
            return -1;
        }
    }
    text("ldt: CPU ");
    number(cpu);
    text(" kept it");
    end_line();
    return 0;
}

/* tcdrain() of standard output: the power goes off faster than a serial port sends. */
static int drain(void)
{
    enum { TCSBRK = 0x5409, STANDARD_OUTPUT = 1 };
    return syscall3(SYS_IOCTL, STANDARD_OUTPUT, TCSBRK, 1) == 0 ? 0 : -1;
}

static u8 cmos_read(u8 index)
{
    u8 value;
    __asm__ volatile("outb %b1, $0x70; inb $0x71, %b0" : "=a"(value) : "a"(index));
    return value;
}

static void cmos_write(u8 index, u8 value)
{
    __asm__ volatile("outb %b0, $0x70; movb %b1, %%al; outb %%al, $0x71"
                     :
                     : "a"(index), "r"(value));
}

/* CMOS keeps its contents over a reset and has a byte that neither firmware nor Linux uses. */
static int booted(void)
{
    enum { FREE_BYTE = 0x7e, MARK = 0x5a };
    if (syscall3(SYS_IOPL, 3, 0, 0) != 0)
        return 2;
    const int before = cmos_read(FREE_BYTE) == MARK;
    cmos_write(FREE_BYTE, before ? 0 : MARK);
    return before;
}

/* As kmod's insmod; busybox's tries twice, and the second error hides the first. */
static int load(const char *file, const char *words)
{
    const long opened = syscall3(SYS_OPEN, (long)file, 0, 0);
    const long result = opened < 0 ? opened : syscall3(SYS_FINIT_MODULE, opened, (long)words, 0);
    text("load: error ");
    number((u64)-result);
    end_line();
    return result == 0 ? 0 : -1;
}

static u64 length_of(const char *s)
{
    u64 length = 0;
    while (s[length])
        length++;
    return length;
}

/* Comes back only if it fails. */
static int start_kernel(const char *kernel, const char *initrd, const char *words)
{
    const long kernel_file = syscall3(SYS_OPEN, (long)kernel, 0, 0);
    const long initrd_file = syscall3(SYS_OPEN, (long)initrd, 0, 0);
    long result = syscall6(SYS_KEXEC_FILE_LOAD, kernel_file, initrd_file,
                           (long)length_of(words) + 1, (long)words, 0, 0);
    const long magic = 0xfee1dead, magic2 = 0x28121969, kexec = 0x45584543;
    if (result == 0)
        result = syscall3(SYS_REBOOT, magic, magic2, kexec);
    text("kexec: error ");
    number((u64)-result);
    end_line();
    return -1;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static u64 parse(const char *s)
{
    u64 value = 0;
    while (*s >= '0' && *s <= '9')
        value = value * 10 + (u64)(*s++ - '0');
    return value;
}

static int run(long argc, char **argv)
{
    if (argc == 2 && same(argv[1], "cpus"))
        return show_cpus();
    if (argc == 3 && same(argv[1], "cpus"))
        return show_cpu((u32)parse(argv[2]));
    if (argc == 2 && same(argv[1], "tsc"))
        return show_tsc();
    if (argc == 2 && same(argv[1], "cpuid-ticks"))
        return show_cpuid_ticks();
    if (argc == 4 && same(argv[1], "stress"))
        return stress((u32)parse(argv[2]), parse(argv[3]));
    if (argc == 4 && same(argv[1], "ldt"))
        return watch_ldt((u32)parse(argv[2]), parse(argv[3]));
    if (argc == 2 && same(argv[1], "drain"))
        return drain();
    if (argc >= 3 && same(argv[1], "load"))
        return load(argv[2], argc == 3 ? "" : argv[3]);
    if (argc == 5 && same(argv[1], "kexec"))
        return start_kernel(argv[2], argv[3], argv[4]);
    if (argc == 2 && same(argv[1], "booted"))
        return booted();
    text("usage: zpp-guest cpus [N] | tsc | cpuid-ticks | stress CPU SECONDS | ldt CPU SECONDS | "
         "drain | booted | "
         "load FILE [WORDS] | kexec KERNEL INITRD WORDS");
    end_line();
    return 2;
}

__attribute__((used)) _Noreturn static void start(long *stack)
{
    const int result = run(stack[0], (char **)(stack + 1));
    leave(result < 0 ? 1 : result);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    andq $-16, %rsp\n"
        "    call start\n");
