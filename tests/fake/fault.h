/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The n-th system call fails. Programs that link fault.c have the calls in its table wrapped at link
 * time; malloc counts as one. What libraries call is theirs: only the tree's own calls are wrapped.
 */
#ifndef VIADUCT_TESTS_FAKE_FAULT_H
#define VIADUCT_TESTS_FAKE_FAULT_H

#include "base/util.h"

/* The n-th wrapped call from now on fails (from 1); 0: none. */
void fault_arm(unsigned int nth);

/* None fails any more. True if one did. */
bool fault_disarm(void);

/* What a fake does for itself neither counts nor fails; they nest. */
void fault_pause(void);
void fault_resume(void);

/* For those who make a guest's RAM hundreds of times: nothing is populated before it is touched. */
void fault_lazy_memory(bool lazy);

/* Name of the call that failed last, for messages. */
const char *fault_call(void);

/* For fakes that wrap a call themselves: true if this one is to fail, with errno set to errnum. */
bool fault_hits(const char *call, int errnum);

/* Bytes that the tree's own code holds mapped. */
long fault_mapped(void);

#endif
