/* The shared trampoline, with the annotations that the kernel requires for assembly. */
#include <asm/nospec-branch.h>
#include <linux/linkage.h>
#include <linux/objtool.h>

#ifdef ASM_RET
#define ZPP_ASM_RET ASM_RET
#endif
/* The call to the core runs on the core's page tables, which do not map the kernel's thunks. */
#define ZPP_ASM_INDIRECT_CALL_FOLLOWS ANNOTATE_RETPOLINE_SAFE
#ifdef ANNOTATE_NOENDBR
#define ZPP_ASM_NO_ENTRY ANNOTATE_NOENDBR
#endif

#include "loader/trampoline.c"

/* objtool cannot follow a change of stacks. */
STACK_FRAME_NON_STANDARD(trampoline);
