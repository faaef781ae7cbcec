/*
 * An EFI program for the bench: how far the TSC has come when the firmware starts it, what one
 * CPUID and one hypercall cost, and how many pages the hypervisor keeps. Its lines go straight to
 * the serial port, so that the console's cost is in none of the numbers.
 */
#include <Uefi.h>
#include <zpp/hypercall.h>

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

static UINT32 cpuid_ebx(UINT32 leaf)
{
    UINT32 ebx;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(ebx) : "c"(0) : "edx");
    return ebx;
}

static UINT64 hypercall(UINT64 call, UINT64 *rbx)
{
    UINT64 status = ZPP_HYPERCALL(call);
    UINT64 result = 0;
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
        cpuid_ebx(leaf);
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
    UINT64 fewest = ~0ull;
    for (int i = 0; i < ROUNDS; i++) {
        UINT64 version;
        const UINT64 start = tsc();
        hypercall(ZPP_HYPERCALL_VERSION, &version);
        const UINT64 ticks = tsc() - start;
        if (ticks < fewest)
            fewest = ticks;
    }
    return fewest;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    const UINT64 start = tsc();
    (void)image;
    report("start", start);
    report("cpuid_plain", cpuid_ticks(0));   /* the core passes this leaf on */
    report("cpuid_changed", cpuid_ticks(1)); /* the core changes this one */
    if (cpuid_ebx(ZPP_CPUID_SIGNATURE_LEAF) == ZPP_SIGNATURE_EBX) {
        UINT64 pages;
        report("hypercall", hypercall_ticks());
        if (hypercall(ZPP_HYPERCALL_MEMORY, &pages) == ZPP_HYPERCALL_OK)
            report("pages", pages);
    }
    text("ticks: done\r\n");
    system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
    return EFI_SUCCESS;
}
