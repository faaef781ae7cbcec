/* The shared trampoline, with what the kernel's tools want of hand-written code. */
#include <asm/nospec-branch.h>
#include <linux/linkage.h>
#include <linux/objtool.h>

#ifdef ASM_RET
#define ZPP_ASM_RET ASM_RET
#endif
/* The call goes to the core, on page tables on which there are no thunks. */
#define ZPP_ASM_INDIRECT_CALL_FOLLOWS ANNOTATE_RETPOLINE_SAFE
#ifdef ANNOTATE_NOENDBR
#define ZPP_ASM_NO_ENTRY ANNOTATE_NOENDBR
#endif

#include "loader/trampoline.c"

/* It changes stacks, which objtool cannot follow. */
STACK_FRAME_NON_STANDARD(trampoline);
