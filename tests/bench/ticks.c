/*
 * An EFI program for the bench: how far the TSC has come when the firmware starts it, what one
 * CPUID, one hypercall and one write to the local APIC cost, and how many pages the hypervisor keeps.
 * Its lines go straight to the serial port, so that the console's cost is in none of the numbers.
 */
#include <Uefi.h>
#include <zpp/hypercall.h>

enum {
    APIC_BASE = 0x1b,
    APIC_BASE_X2 = 1 << 10,
    X2APIC_ID = 0x802,
    X2APIC_EOI = 0x80b,
    X2APIC_ICR = 0x830
};
enum { APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310 };
enum { ICR_FIXED_ASSERTED = 1 << 14, ICR_PENDING = 1 << 12, VECTOR = 0xf3 };
enum { COM1 = 0x3f8, LINE_STATUS = COM1 + 5, TRANSMITTER_EMPTY = 0x20, ROUNDS = 1000 };

/* The compiler may refer to it; nothing here uses floating point. */
int _fltused;

static UINT8 port_in(UINT16 port)
{
    UINT8 value;
    __asm__ volatile("inb %w1, %b0" : "=a"(value) : "d"(port));
    return value;
}

static void put(char c)
{
    while ((port_in(LINE_STATUS) & TRANSMITTER_EMPTY) == 0)
        ;
    __asm__ volatile("outb %b0, %w1" : : "a"(c), "d"((UINT16)COM1));
}

static void text(const char *s)
{
    while (*s != 0)
        put(*s++);
}

static void number(UINT64 value)
{
    if (value >= 10)
        number(value / 10);
    put((char)('0' + value % 10));
}

static void report(const char *name, UINT64 value)
{
    text("ticks: ");
    text(name);
    put(' ');
    number(value);
    text("\r\n");
}

static UINT64 tsc(void)
{
    UINT32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (UINT64)high << 32 | low;
}

static UINT64 read_msr(UINT32 index)
{
    UINT32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (UINT64)high << 32 | low;
}

static void write_msr(UINT32 index, UINT64 value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((UINT32)value), "d"((UINT32)(value >> 32)));
}

static volatile UINT32 *apic(UINT32 offset)
{
    return (volatile UINT32 *)((read_msr(APIC_BASE) & ~0xfffull) + offset);
}

static UINT32 cpuid_ebx(UINT32 leaf, UINT32 subleaf)
{
    UINT32 ebx;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(ebx), "+c"(subleaf) : : "edx");
    return ebx;
}

static UINT64 hypercall(UINT32 amdv, UINT64 call, UINT64 *rbx)
{
    UINT64 status = ZPP_HYPERCALL(call);
    UINT64 result = 0;
    if (amdv)
        __asm__ volatile("vmmcall" : "+a"(status), "+b"(result) : : "rcx", "rdx", "rsi", "memory");
    else
        __asm__ volatile("vmcall" : "+a"(status), "+b"(result) : : "rcx", "rdx", "rsi", "memory");
    *rbx = result;
    return status;
}

/* The fewest ticks of one CPUID, what an empty measurement takes left out. */
static UINT64 cpuid_ticks(UINT32 leaf)
{
    UINT64 fewest = ~0ull, empty = ~0ull;
    for (int i = 0; i < ROUNDS; i++) {
        const UINT64 start = tsc();
        const UINT64 between = tsc();
        cpuid_ebx(leaf, 0);
        const UINT64 end = tsc();
        if (between - start < empty)
            empty = between - start;
        if (end - between < fewest)
            fewest = end - between;
    }
    return fewest - empty;
}

static UINT64 hypercall_ticks(void)
{
    const UINT32 amdv = cpuid_ebx(ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY) & ZPP_FEATURE_AMDV;
    UINT64 fewest = ~0ull;
    for (int i = 0; i < ROUNDS; i++) {
        UINT64 version;
        const UINT64 start = tsc();
        hypercall(amdv, ZPP_HYPERCALL_VERSION, &version);
        const UINT64 ticks = tsc() - start;
        if (ticks < fewest)
            fewest = ticks;
    }
    return fewest;
}

/* An IPI to this CPU in x2APIC mode: one write. */
static UINT64 x2apic_ipi(void)
{
    const UINT64 id = read_msr(X2APIC_ID);
    const UINT64 start = tsc();
    write_msr(X2APIC_ICR, id << 32 | ICR_FIXED_ASSERTED | VECTOR);
    return tsc() - start;
}

/* The same in xAPIC mode: two writes, and waiting until it is sent, as Linux does it. */
static UINT64 xapic_ipi(void)
{
    volatile UINT32 *const low = apic(APIC_ICR_LOW), *const high = apic(APIC_ICR_HIGH);
    const UINT32 id = *apic(APIC_ID);
    const UINT64 start = tsc();
    *high = id;
    *low = ICR_FIXED_ASSERTED | VECTOR;
    while (*low & ICR_PENDING)
        ;
    return tsc() - start;
}

static UINT64 eoi(int x2)
{
    volatile UINT32 *const xapic = x2 ? NULL : apic(APIC_EOI);
    const UINT64 start = tsc();
    if (x2)
        write_msr(X2APIC_EOI, 0);
    else
        *xapic = 0;
    return tsc() - start;
}

/* Interrupts are off, so what is sent stays pending, and no EOI takes another's. */
static void report_apic(void)
{
    const int x2 = (read_msr(APIC_BASE) & APIC_BASE_X2) != 0;
    UINT64 ipi = ~0ull, end = ~0ull;
    for (int i = 0; i < ROUNDS; i++) {
        const UINT64 sent = x2 ? x2apic_ipi() : xapic_ipi();
        const UINT64 ended = eoi(x2);
        ipi = sent < ipi ? sent : ipi;
        end = ended < end ? ended : end;
    }
    report("ipi", ipi);
    report("eoi", end);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    const UINT64 start = tsc();
    (void)image;
    report("start", start);
    report("cpuid_plain", cpuid_ticks(0));   /* the core passes this leaf on, on the fast path */
    report("cpuid_changed", cpuid_ticks(1)); /* the core changes this one, there too */
    report("cpuid_general", cpuid_ticks(7)); /* and this one in the general handler */
    __asm__ volatile("cli");
    report_apic();
    if (cpuid_ebx(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY) == ZPP_SIGNATURE_EBX) {
        const UINT32 amdv = cpuid_ebx(ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY) & ZPP_FEATURE_AMDV;
        UINT64 pages;
        report("hypercall", hypercall_ticks());
        if (hypercall(amdv, ZPP_HYPERCALL_MEMORY, &pages) == ZPP_HYPERCALL_OK)
            report("pages", pages);
    }
    text("ticks: done\r\n");
    system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
    return EFI_SUCCESS;
}
