;; @file
;  The entries of the test's IDT. Each records its vector after the IDT; after a fault in
;  ZppGuardedCall(), execution resumes after that call.
;;

    DEFAULT REL
    SECTION .text

; ZPP_FAULTS; Fault.c asserts these.
FAULTS_RESUME       EQU 0
FAULTS_RESUME_RSP   EQU 8
FAULTS_VECTOR       EQU 16
FAULTS_ERROR_CODE   EQU 24
FAULTS_RIP          EQU 32
FAULTS_EOI          EQU 40
FAULTS_COUNT        EQU 48
FAULTS_RFLAGS       EQU 1072

IDT_SIZE            EQU 4096
VECTOR_NONE         EQU 0xff
X2APIC_EOI_MSR      EQU 0x80b

; The stack in `entry`
FRAME_RDX           EQU 0
FRAME_RCX           EQU 8
FRAME_VECTOR        EQU 24
FRAME_ERROR_CODE    EQU 32
FRAME_RIP           EQU 40
FRAME_RFLAGS        EQU 56
FRAME_RSP           EQU 64

; With an error code: #DF #TS #NP #SS #GP #PF #AC #CP
%define HAS_ERROR_CODE(n) ((n) == 8 || ((n) >= 10 && (n) <= 14) || (n) == 17 || (n) == 21)

    GLOBAL  ASM_PFX(ZppFaultEntries)
    ALIGN   16
ASM_PFX(ZppFaultEntries):
%assign vector 0
%rep 256
    ALIGN   16
%if !HAS_ERROR_CODE(vector)
    push    0
%endif
    push    vector
    jmp     near entry
%assign vector vector + 1
%endrep

entry:
    push    rax
    push    rcx
    push    rdx

    sub     rsp, 16
    sidt    [rsp + 6]
    mov     rdx, [rsp + 8]
    add     rsp, 16
    add     rdx, IDT_SIZE

    movzx   eax, byte [rsp + FRAME_VECTOR]
    mov     [rdx + FAULTS_VECTOR], rax
    inc     dword [rdx + FAULTS_COUNT + rax * 4]
    mov     rcx, [rsp + FRAME_ERROR_CODE]
    mov     [rdx + FAULTS_ERROR_CODE], rcx
    mov     rcx, [rsp + FRAME_RIP]
    mov     [rdx + FAULTS_RIP], rcx
    mov     rcx, [rsp + FRAME_RFLAGS]
    mov     [rdx + FAULTS_RFLAGS], rcx

    cmp     eax, 32
    jae     interrupt
    cmp     eax, 1
    je      single_step
    cmp     eax, 3
    jbe     zero_or_trap
resume:
    mov     rcx, [rdx + FAULTS_RESUME]
    test    rcx, rcx
    jz      dead
    mov     [rsp + FRAME_RIP], rcx
    mov     rcx, [rdx + FAULTS_RESUME_RSP]
    mov     [rsp + FRAME_RSP], rcx
    mov     [rsp + FRAME_RCX], rdx
leave_entry:
    pop     rdx
    pop     rcx
    pop     rax
    add     rsp, 16
    iretq

zero_or_trap:
    test    eax, eax
    jz      resume
    jmp     leave_entry

single_step:
    and     qword [rsp + FRAME_RFLAGS], ~0x100
    jmp     leave_entry

interrupt:
    cmp     eax, 0x90
    jb      leave_entry            ; INT n
    mov     rcx, [rdx + FAULTS_EOI]
    test    rcx, rcx
    jz      x2apic
    mov     dword [rcx], 0
    jmp     leave_entry
x2apic:
    push    rdx
    xor     eax, eax
    xor     edx, edx
    mov     ecx, X2APIC_EOI_MSR
    wrmsr
    pop     rdx
    jmp     leave_entry

; A fault that no check expects: stop here.
dead:
    mov     dword [rdx + FAULTS_VECTOR], eax
.halt:
    cli
    hlt
    jmp     .halt

; UINT64 EFIAPI ZppGuardedCall (ZPP_FAULTS *Faults, ZPP_GUARDED Function, VOID *Argument)
    GLOBAL  ASM_PFX(ZppGuardedCall)
    ALIGN   16
ASM_PFX(ZppGuardedCall):
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
    mov     rbx, rcx
    mov     rcx, r8
    call    rdx
    mov     rcx, rbx
.faulted:
    mov     qword [rcx + FAULTS_RESUME], 0
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
