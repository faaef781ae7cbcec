/** @file
  What a hypervisor that came and went could have left on a CPU.
**/
#ifndef ZPP_TEST_CPU_TRACE_H_
#define ZPP_TEST_CPU_TRACE_H_

#include <Uefi.h>

typedef enum {
  TraceCr0,
  TraceCr3,
  TraceCr4,
  TraceCr8,
  TraceDr7,
  TraceEfer,
  TracePat,
  TraceFsBase,
  TraceGsBase,
  TraceKernelGsBase,
  TraceSysenterEip,
  TraceApicBase,
  TraceFeatureControl,
  TraceMtrrDefault,
  TraceGdtBase,
  TraceGdtLimit,
  TraceIdtBase,
  TraceIdtLimit,
  TraceTr,
  TraceLdtr,
  TraceSelectors,
  TraceFlags,
  TraceCpuidFeatures,
  TraceMax
} ZPP_TRACE_ITEM;

typedef struct {
  UINT64    Item[TraceMax];
} ZPP_CPU_TRACE;

/// The items' names.
extern CONST CHAR8  *CONST  gZppTraceNames[TraceMax];

/**
  Takes the trace of the CPU that runs it.

  @param[out] Trace  The trace.
**/
VOID
ZppTakeTrace (
  OUT ZPP_CPU_TRACE  *Trace
  );

#endif
