/*
 * An EFI program that asks zpp who it is: first by CPUID, which any program may run, then by
 * hypercalls, which need CPL 0. EFI programs have that, so this needs no driver.
 *
 * It uses no UEFI headers: the few fields that it needs are declared here (UEFI 2.10, sections 4.3,
 * 8.1 and 12.4).
 */
#include <zpp/hypercall.h>

typedef unsigned long long u64;
typedef unsigned int u32;

struct text_output {
    void *reset;
    u64 (*output_string)(struct text_output *, const unsigned short *);
};

struct runtime_services {
    char header_and_ten_functions[104];
    void (*reset_system)(u32 type, u64 status, u64 size, const void *data);
};

struct system_table {
    char header_and_input[64];
    struct text_output *output;
    char errors[16];
    struct runtime_services *runtime;
};

enum { SHUTDOWN = 2 };

struct cpuid {
    u32 eax, ebx, ecx, edx;
};

struct answer {
    u64 status, rbx, rcx, rdx, rsi;
};

static struct system_table *table;

/* zpp answers those who ask with its key, even where it hides from the system. */
static struct cpuid cpuid(u32 leaf)
{
    struct cpuid r = {.eax = leaf, .ecx = ZPP_CPUID_KEY};
    __asm__ volatile("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
    return r;
}

/* VT-x and AMD-V have an instruction each; the other one's is an invalid opcode. */
static struct answer ask(u32 features, u64 number, u64 rbx, u64 rcx)
{
    struct answer r = {ZPP_HYPERCALL(number), rbx, rcx, 0, 0};
    if (features & ZPP_FEATURE_VTX)
        __asm__ volatile("vmcall"
                         : "+a"(r.status), "+b"(r.rbx), "+c"(r.rcx), "+d"(r.rdx), "+S"(r.rsi));
    else
        __asm__ volatile("vmmcall"
                         : "+a"(r.status), "+b"(r.rbx), "+c"(r.rcx), "+d"(r.rdx), "+S"(r.rsi));
    return r;
}

static void print(const char *text)
{
    for (; *text; text++) {
        const unsigned short wide[] = {(unsigned char)*text, 0};
        table->output->output_string(table->output, wide);
    }
}

static void print_number(u64 value)
{
    char digits[21] = "";
    int place = 20;
    do
        digits[--place] = (char)('0' + value % 10);
    while (value /= 10);
    print(digits + place);
}

static void print_line(const char *text, u64 value)
{
    print(text);
    print_number(value);
    print("\r\n");
}

static void ask_zpp(void)
{
    const struct cpuid signature = cpuid(ZPP_CPUID_SIGNATURE_LEAF);
    if (signature.ebx != ZPP_SIGNATURE_EBX || signature.ecx != ZPP_SIGNATURE_ECX ||
        signature.edx != ZPP_SIGNATURE_EDX) {
        print("ask_zpp: zpp is not running\r\n");
        return;
    }
    const struct cpuid version = cpuid(ZPP_CPUID_VERSION_LEAF);
    const u32 cpuid_exit = version.ebx & ZPP_FEATURE_VTX ? 10 : 0x72;
    print(version.ebx & ZPP_FEATURE_VTX ? "ask_zpp: zpp uses VT-x\r\n"
                                        : "ask_zpp: zpp uses AMD-V\r\n");
    print_line("ask_zpp: index of this CPU: ", version.ecx);
    print_line("ask_zpp: CPUs: ", ask(version.ebx, ZPP_HYPERCALL_CPU_COUNT, 0, 0).rbx);
    print_line("ask_zpp: pages of the core: ", ask(version.ebx, ZPP_HYPERCALL_MEMORY, 0, 0).rbx);
    print_line("ask_zpp: exits by CPUID: ",
               ask(version.ebx, ZPP_HYPERCALL_EXIT_COUNT, version.ecx, cpuid_exit).rbx);
    print_line("ask_zpp: status of an unknown call: ", ask(version.ebx, 12345, 0, 0).status);
}

u64 efi_main(void *image, struct system_table *system_table)
{
    (void)image;
    table = system_table;
    ask_zpp();
    table->runtime->reset_system(SHUTDOWN, 0, 0, 0);
    return 0;
}
