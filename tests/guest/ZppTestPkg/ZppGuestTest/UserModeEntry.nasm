;; @file
;  Enters 32-bit code and CPL 3, with the GDT of UserMode.c.
;;

    DEFAULT REL
    SECTION .text

; UserMode.c
CODE_32             EQU 0x10
DATA                EQU 0x30
CODE_64             EQU 0x38
USER_DATA           EQU 0x43
USER_CODE           EQU 0x4b

; ZPP_FAULTS; Fault.c asserts these.
FAULTS_RESUME       EQU 0
FAULTS_RESUME_RSP   EQU 8
FAULTS_VECTOR       EQU 16
VECTOR_NONE         EQU 0xff

; UINT32 EFIAPI ZppCpuid32 (UINT32 Leaf): EDX. Code and stack are below 4 GiB.
    GLOBAL  ASM_PFX(ZppCpuid32)
    ALIGN   16
ASM_PFX(ZppCpuid32):
    push    rbx
    push    rbp
    mov     rbp, rsp
    lea     rax, [.back]
    sub     rsp, 8              ; for the far return of 32-bit code
    mov     [rsp], eax
    mov     dword [rsp + 4], CODE_64
    lea     rax, [.code_32]
    push    CODE_32
    push    rax
    mov     eax, ecx
    xor     ecx, ecx
    o64 retf
    BITS    32
.code_32:
    cpuid
    retf
    BITS    64
.back:
    mov     eax, edx
    mov     esp, ebp            ; 32-bit code does not keep the upper halves
    pop     rbp
    pop     rbx
    ret

; UINT64 EFIAPI ZppUserEnter (ZPP_FAULTS *Faults, ZPP_GUARDED Function, VOID *StackTop)
    GLOBAL  ASM_PFX(ZppUserEnter)
    ALIGN   16
ASM_PFX(ZppUserEnter):
    push    rbx
    push    rbp
    push    rdi
    push    rsi
    push    r12
    push    r13
    push    r14
    push    r15
    sub     rsp, 40
    mov     qword [rcx + FAULTS_VECTOR], VECTOR_NONE
    mov     [rcx + FAULTS_RESUME_RSP], rsp
    lea     rax, [.faulted]
    mov     [rcx + FAULTS_RESUME], rax
    lea     rax, [ASM_PFX(ZppUserReturned)]
    sub     r8, 8
    mov     [r8], rax
    push    USER_DATA
    push    r8
    push    2                   ; RFLAGS: interrupts stay off
    push    USER_CODE
    push    rdx
    xor     ecx, ecx
    iretq
.faulted:
    mov     qword [rcx + FAULTS_RESUME], 0
    mov     eax, DATA           ; IRET to CPL 3 has cleared them
    mov     ss, eax
    mov     ds, eax
    mov     es, eax
    mov     fs, eax
    mov     gs, eax
    mov     rax, [rcx + FAULTS_VECTOR]
    add     rsp, 40
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rsi
    pop     rdi
    pop     rbp
    pop     rbx
    ret

; Where a function at CPL 3 returns to: HLT is #GP there.
    GLOBAL  ASM_PFX(ZppUserReturned)
ASM_PFX(ZppUserReturned):
    hlt
