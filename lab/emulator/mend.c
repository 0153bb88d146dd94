// SPDX-License-Identifier: BSD-3-Clause
/*
 * Mends faults of QEMU (seen in 10.0), three of its emulated SVM and one of its devices, from outside: LD_PRELOAD into the
 * emulator, which exports what is needed by name. Only functions are called and replaced, no structure of QEMU's is known here but
 * the first two members of a helper's description, and those are compared with what they must be. Parameters of functions are not
 * in their names: lab/vlab/emulator.py knows the versions whose functions have these.
 *
 * 1. VMRUN with an event to inject delivers an external interrupt at once, and leaves its vector where the main loop looks
 *    for an exception. A processor that is asked to come out of its loop before anything else has cleared it (in
 *    deterministic time: at every timer) takes the interrupt once more, interrupts off or not, and its guest spins on
 *    a lock that it holds itself. So after each VMRUN the processor goes back to its loop with the vector cleared.
 * 2. VMRUN and a guest's write of CR8 change the processor's pending interrupts without the emulator's big lock:
 *    the first can lose one that another thread makes pending just then, the second is an assertion that ends the emulator.
 *    So both take the lock.
 * 3. In deterministic time PAUSE leaves the processor's loop for the emulator's outer one, some 10 us for an instruction's
 *    worth of time: a guest's vCPU that waits for another one all but stops the clock, by which its turn would end. Where
 *    there is one processor nobody else could run then, so it goes back to its own loop.
 * 4. Devices write to their driver's memory by memmove(), and the C library's stores 4 or 16 bytes twice, at the same place: ends that
 *    overlap, for any length between. A driver that polls may have seen the first ("descriptor done"), taken the frame and made the
 *    descriptor anew before the second comes, when this thread lost its processor just there. What is done then is undone: a frame is
 *    taken twice, the driver's tail meets the device's head, and the ring stands still for good. So what fits words is written once.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head of QEMU's description of a helper, which a translation takes the helper's address from. */
struct helper_info {
	void *func;
	const char *name;
};

/* Words of the class of an accelerator's operations that are looked through, if it has as many. */
#define OPS_WORDS 48

#define CLOCK_VIRTUAL 1

/* Words at any address and of any type of object. */
typedef uint16_t __attribute__((aligned(1), may_alias)) words16;
typedef uint32_t __attribute__((aligned(1), may_alias)) words32;
typedef uint64_t __attribute__((aligned(1), may_alias)) words64;

static struct {
	void (*vmrun)(void *env, int address_size, int instruction_bytes);
	void (*loop_exit)(void *cpu);
	bool (*locked)(void);
	void (*lock)(const char *file, int line);
	void (*unlock)(void);
	void *(*class_by_name)(const char *name);
	void (*interrupt)(void *cpu, int mask);
	void (*check_step)(void *env);
	void (*timer_mod)(void *timer, int64_t at);
	int64_t (*clock_ns)(int clock);
	bool ops_done;
} qemu;

static struct {
	uint64_t timer[16]; /* QEMU's, which has seven */
	int64_t ns;
} turn;

static void *find(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

static void leave_to_loop(void)
{
	static __thread void **current;

	if (!current)
		current = find("current_cpu");
	qemu.loop_exit(*current);
}

static void interrupt_locked(void *cpu, int mask)
{
	bool lock = !qemu.locked();

	if (lock)
		qemu.lock(__FILE__, __LINE__);
	qemu.interrupt(cpu, mask);
	if (lock)
		qemu.unlock();
}

/* The shadow of an STI before it ends with the next block, one instruction later than it should. */
static void pause_here(void *env)
{
	qemu.check_step(env);
	leave_to_loop();
}

/* Code that is translated from now on has it: that of guests, and all they wait with. */
static void replace_pause(void)
{
	struct helper_info *info = find("helper_info_pause");
	void *(*processor)(int index) = (void *(*)(int))find("qemu_get_cpu");

	if (!processor || processor(1))
		return;
	qemu.check_step = (void (*)(void *))find("helper_rechecking_single_step");
	if (info && qemu.check_step && info->func == find("helper_pause"))
		info->func = (void *)pause_here;
}

static void turn_over(void *unused)
{
	(void)unused;
	qemu.timer_mod(turn.timer, qemu.clock_ns(CLOCK_VIRTUAL) + turn.ns);
}

/* Processors that take turns go on until the next timer, shared between them: a timer that does nothing makes turns short. */
static void turns_start(void)
{
	void (*init)(void *timer, void *group, int clock, int scale, int attributes,
		     void (*work)(void *), void *arg) = find("timer_init_full");
	const char *ns = getenv("VIADUCT_LAB_TURN_NS");

	qemu.timer_mod = find("timer_mod");
	qemu.clock_ns = find("qemu_clock_get_ns");
	turn.ns = ns ? atol(ns) : 0;
	if (turn.ns <= 0 || !init || !qemu.timer_mod || !qemu.clock_ns)
		return;
	init(turn.timer, NULL, CLOCK_VIRTUAL, 1, 0, turn_over, NULL);
	turn_over(NULL);
}

static bool replace_word(void **words, const char *name)
{
	void *way = find(name);
	/* A class is a piece of memory by itself. */
	size_t i, n = words ? malloc_usable_size(words) / sizeof(*words) : 0;

	for (i = 0; way && i < n && i < OPS_WORDS; i++) {
		if (words[i] != way)
			continue;
		qemu.interrupt = (void (*)(void *, int))way;
		words[i] = (void *)interrupt_locked;
		return true;
	}
	return false;
}

/* The accelerator sets its operations when it starts, so this is for the first guest. Under the lock. */
static void replace_operations(void)
{
	void **words = qemu.class_by_name("tcg-accel-ops");

	qemu.ops_done = true;
	if (replace_word(words, "icount_handle_interrupt")) {
		replace_pause();
		turns_start();
	} else if (!replace_word(words, "tcg_handle_interrupt"))
		fputs("mend: the emulator's way of interrupts was not found\n", stderr);
}

static void vmrun(void *env, int address_size, int instruction_bytes)
{
	bool lock = !qemu.locked();

	if (lock)
		qemu.lock(__FILE__, __LINE__);
	if (!qemu.ops_done)
		replace_operations();
	/* A guest that cannot be entered does not come back here: the main loop drops the lock then. */
	qemu.vmrun(env, address_size, instruction_bytes);
	if (lock)
		qemu.unlock();
	leave_to_loop();
}

static bool find_all(void)
{
	qemu.vmrun = (void (*)(void *, int, int))find("helper_vmrun");
	qemu.loop_exit = (void (*)(void *))find("cpu_loop_exit_noexc");
	qemu.locked = (bool (*)(void))find("bql_locked");
	qemu.lock = (void (*)(const char *, int))find("bql_lock_impl");
	qemu.unlock = (void (*)(void))find("bql_unlock");
	qemu.class_by_name = (void *(*)(const char *))find("object_class_by_name");
	return qemu.vmrun && qemu.loop_exit && qemu.locked && qemu.lock && qemu.unlock &&
	       qemu.class_by_name && find("current_cpu") && find("icount_handle_interrupt") &&
	       find("tcg_handle_interrupt");
}

/* What a descriptor or a part of one may be, each word once, those of a pair in order; false: it is something else. */
static bool store_once(volatile void *dst, const void *src, size_t bytes)
{
	uint64_t low, high;

	switch (bytes) {
	case 2:
		*(volatile words16 *)dst = *(const words16 *)src;
		return true;
	case 4:
		*(volatile words32 *)dst = *(const words32 *)src;
		return true;
	case 8:
		*(volatile words64 *)dst = *(const words64 *)src;
		return true;
	case 16:
		low = ((const words64 *)src)[0];
		high = ((const words64 *)src)[1];
		((volatile words64 *)dst)[0] = low;
		((volatile words64 *)dst)[1] = high;
		return true;
	default:
		return false;
	}
}

/* In the place of the C library's for the emulator and its libraries. */
void *memmove(void *dst, const void *src, size_t bytes)
{
	static void *(*libc)(void *dst, const void *src, size_t bytes);

	if (store_once(dst, src, bytes))
		return dst;
	if (!libc)
		libc = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memmove");
	return libc(dst, src, bytes);
}

/* Says on standard error whether it could, if VIADUCT_LAB_MEND is set. Programs that the emulator starts are none. */
__attribute__((constructor)) static void mend(void)
{
	struct helper_info *info = find("helper_info_vmrun");
	bool fits = find_all() && info && info->func == (void *)qemu.vmrun && info->name &&
		    strcmp(info->name, "vmrun") == 0;

	if (fits)
		info->func = (void *)vmrun;
	if (getenv("VIADUCT_LAB_MEND"))
		fputs(fits ? "mend: fits\n" : "mend: does not fit\n", stderr);
}
