/*
 * What a guest can see of zpp, and its hypercalls. Plain C: shared by the core, the loaders and the
 * tests.
 *
 * CPUID with ECX = ZPP_CPUID_KEY, for who looks for zpp:
 *   CPUID.40000000H: EAX = 40000001H, EBX:ECX:EDX = "ZppZppZppZpp"
 *   CPUID.40000001H: EAX = version, EBX = feature bits, ECX = this CPU's index, EDX = number of
 *   CPUs, with those that may be hot-plugged later
 * If zpp is visible (zpp_boot_info.visible), these leaves answer so whatever ECX is, and
 * CPUID.1:ECX[31] is 1. Otherwise the guest gets the bare CPU's answers.
 *
 * Hypercalls: VMCALL (VT-x) or VMMCALL (AMD-V) at CPL 0 in 64-bit mode with
 *   RAX = ZPP_HYPERCALL(number), RBX, RCX = arguments
 * and on return RAX = enum zpp_hypercall_status, RBX, RCX, RDX, RSI = results. Without the magic
 * in RAX, or outside CPL 0, the instruction raises #UD as on the bare machine.
 */
#ifndef ZPP_HYPERCALL_H
#define ZPP_HYPERCALL_H

#define ZPP_VERSION_MAJOR 0
#define ZPP_VERSION_MINOR 1
#define ZPP_VERSION_PATCH 0
#define ZPP_VERSION ((ZPP_VERSION_MAJOR << 16) | (ZPP_VERSION_MINOR << 8) | ZPP_VERSION_PATCH)

#define ZPP_CPUID_SIGNATURE_LEAF 0x40000000u
#define ZPP_CPUID_VERSION_LEAF 0x40000001u
#define ZPP_CPUID_KEY 0x007a7070u /* "zpp", as in the hypercalls' magic */

/* "ZppZppZppZpp" as CPUID returns it, little-endian. */
#define ZPP_SIGNATURE_EBX 0x5a70705au /* "ZppZ" */
#define ZPP_SIGNATURE_ECX 0x705a7070u /* "ppZp" */
#define ZPP_SIGNATURE_EDX 0x70705a70u /* "pZpp" */

/* CPUID.40000001H:EBX */
#define ZPP_FEATURE_VTX 0x1u  /* uses Intel VT-x */
#define ZPP_FEATURE_AMDV 0x2u /* uses AMD-V */

#define ZPP_HYPERCALL_MAGIC 0x007a707000000000ull /* "zpp" above the number's 32 bits */
#define ZPP_HYPERCALL(number) (ZPP_HYPERCALL_MAGIC | (number))

/* Incremented when a call changes its meaning, not for new calls. */
#define ZPP_HYPERCALL_INTERFACE 1

enum zpp_hypercall {
    /* -> RBX = ZPP_HYPERCALL_INTERFACE, RCX = ZPP_VERSION */
    ZPP_HYPERCALL_VERSION = 0,
    /* -> RBX = number of CPUs, with those that may be hot-plugged later */
    ZPP_HYPERCALL_CPU_COUNT = 1,
    /* RBX = CPU index, RCX = exit reason (VT-x: basic exit reason, SDM Vol. 3D App. C;
     * AMD-V: exit code, APM Vol. 2 App. C, with A8H for a nested page fault)
     * -> RBX = VM exits of that reason on that CPU since launch */
    ZPP_HYPERCALL_EXIT_COUNT = 2,
    /* RBX = byte position in the log since the start
     * -> RBX, RCX, RDX, RSI = 32 bytes of log from there (zeros past the end); RAX = status.
     *    If the position is overwritten: ZPP_HYPERCALL_GONE, RBX = the oldest one. */
    ZPP_HYPERCALL_READ_LOG = 3,
    /* -> RBX = memory of the core, in 4 KiB pages */
    ZPP_HYPERCALL_MEMORY = 4,
    /* Devirtualizes this CPU. Only for the loader's trampoline; other code gets
     * ZPP_HYPERCALL_REFUSED. */
    ZPP_HYPERCALL_DEVIRTUALIZE = 5,
    /* From the loader on a CPU that it has just launched: the core logs that this CPU is a guest.
     * -> RBX = this CPU's index. Refused after COMMIT. */
    ZPP_HYPERCALL_CONFIRM = 6,
    /* From the loader when every CPU is launched: the point of no return. Then CONFIRM, COMMIT and
     * DEVIRTUALIZE are refused. */
    ZPP_HYPERCALL_COMMIT = 7,
    /* The system is about to power off or restart: the next boot does not save the log. */
    ZPP_HYPERCALL_END = 8,
};

enum zpp_hypercall_status {
    ZPP_HYPERCALL_OK = 0,
    ZPP_HYPERCALL_UNKNOWN = 1,      /* no such call */
    ZPP_HYPERCALL_BAD_ARGUMENT = 2, /* an argument is out of range */
    ZPP_HYPERCALL_GONE = 3,         /* the log position was overwritten */
    ZPP_HYPERCALL_REFUSED = 4,      /* not for this caller */
};

#endif
