/*
 * Preload library for Debian's Bochs 3.1: fixes two of its bugs at run time.
 *
 * 64-bit IDIV: the package's long_idiv() was miscompiled (it accesses its 128-bit temporaries through
 * pointers of another type), so the quotient is wrong, and Linux panics with a divide error in its first
 * milliseconds. The library replaces it by the compiler's own 128-bit division.
 *
 * Broadcast SIPI: on a CPU in VMX non-root operation, BX_CPU_C::deliver_SIPI() causes a VM exit, which
 * ends in a longjmp. Bochs runs all CPUs in one thread, so the jump also leaves the *sender's* loop over
 * the CPUs, and only the first guest starts. The wrapper here catches the jump and returns to the loop.
 *
 * bochs-bin exports both functions for its plugins, so the library finds them by name and overwrites
 * their first bytes with a jump. It refuses a Bochs without these names. zpp-image looks for the line
 * that the library prints at the start. With ZPP_BOCHS_FIX_TEST=1 Bochs then exits after a test division
 * with the replaced function.
 *
 * Build: cc -O2 -shared -fPIC -o bochs_fix.so bochs_fix.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LONG_IDIV "_Z9long_idivP7Bit128sPlPKS_l"
#define DELIVER_SIPI "_ZN8BX_CPU_C12deliver_SIPIEj"

typedef void (*deliver_sipi_function)(void *cpu, unsigned vector);
typedef void (*long_idiv_function)(void *quotient, int64_t *remainder, const void *dividend,
                                   int64_t divisor);
typedef void (*longjmp_function)(jmp_buf, int);

/* movabs rax, target; jmp rax */
struct __attribute__((packed)) far_jump {
    uint8_t movabs[2];
    uint64_t target;
    uint8_t jmp[2];
};
_Static_assert(sizeof(struct far_jump) == 12, "as the CPU decodes it");

struct hook {
    void *function;
    struct far_jump original;
    struct far_jump replacement;
};

static struct hook idiv_hook;
static struct hook sipi_hook;

/* The current delivery. One is enough, because Bochs's CPUs share one thread. */
static jmp_buf delivery;
static volatile bool delivering;

_Noreturn static void die(const char *reason)
{
    fprintf(stderr, "bochs_fix: %s\n", reason);
    _exit(127);
}

static void *find(const char *symbol) { return dlsym(RTLD_DEFAULT, symbol); }

static void write_code(void *where, const struct far_jump *code)
{
    const uintptr_t page_mask = ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    const uintptr_t first = (uintptr_t)where & page_mask;
    const uintptr_t end = (uintptr_t)where + sizeof(*code);

    if (mprotect((void *)first, end - first, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        die("cannot make Bochs's code writable");
    memcpy(where, code, sizeof(*code));
}

static void install(struct hook *hook, const char *symbol, uintptr_t target)
{
    hook->function = find(symbol);
    if (hook->function == NULL)
        die("this Bochs is not Debian's 3.1: it lacks a function that this library fixes");
    memcpy(&hook->original, hook->function, sizeof(hook->original));
    hook->replacement = (struct far_jump){{0x48, 0xb8}, target, {0xff, 0xe0}};
    write_code(hook->function, &hook->replacement);
}

/* Bochs has already checked for a divisor of 0 and for the dividend that overflows 128 bits. */
static void fixed_long_idiv(void *quotient, int64_t *remainder, const void *dividend,
                            int64_t divisor)
{
    __int128 value;
    __int128 result;

    memcpy(&value, dividend, sizeof(value));
    result = value / divisor;
    *remainder = (int64_t)(value - result * divisor);
    memcpy(quotient, &result, sizeof(result));
}

static void fixed_deliver_sipi(void *cpu, unsigned vector)
{
    write_code(sipi_hook.function, &sipi_hook.original);
    if (_setjmp(delivery) == 0) {
        delivering = true;
        ((deliver_sipi_function)sipi_hook.function)(cpu, vector);
    }
    delivering = false;
    write_code(sipi_hook.function, &sipi_hook.replacement);
}

_Noreturn static void jump(const char *name, jmp_buf environment, int value)
{
    longjmp_function next;

    if (delivering) {
        environment = delivery;
        value = 1;
    }
    next = (longjmp_function)dlsym(RTLD_NEXT, name);
    if (next == NULL)
        die("the C library has no longjmp");
    next(environment, value);
    abort();
}

/* The names of longjmp in programs built with and without _FORTIFY_SOURCE. */
void longjmp(jmp_buf environment, int value) { jump("longjmp", environment, value); }

void _longjmp(jmp_buf environment, int value) { jump("_longjmp", environment, value); }

void __longjmp_chk(jmp_buf environment, int value);
void __longjmp_chk(jmp_buf environment, int value)
{
    /* The check rejects a jump down the stack, which a VM exit of another CPU may be. */
    jump("longjmp", environment, value);
}

/* -(2^64 + 3) / 7: uses both halves and the sign. */
static void test_division(long_idiv_function divide)
{
    const __int128 dividend = -(((__int128)1 << 64) + 3);
    __int128 quotient = 0;
    int64_t remainder = 0;

    divide(&quotient, &remainder, &dividend, 7);
    if (quotient != dividend / 7 || remainder != (int64_t)(dividend % 7))
        die("the division is still wrong");
    fprintf(stderr, "bochs_fix: tested\n");
    _exit(0);
}

__attribute__((constructor)) static void install_fixes(void)
{
    const char *test = getenv("ZPP_BOCHS_FIX_TEST");

    if (find("_ZN8BX_CPU_C8cpu_loopEv") == NULL)
        return; /* another program in the same environment */
    install(&idiv_hook, LONG_IDIV, (uintptr_t)fixed_long_idiv);
    install(&sipi_hook, DELIVER_SIPI, (uintptr_t)fixed_deliver_sipi);
    fprintf(stderr, "bochs_fix: 64-bit IDIV and broadcast SIPI fixed\n");
    if (test != NULL && strcmp(test, "1") == 0)
        test_division((long_idiv_function)idiv_hook.function);
}
