/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where an lcore's busy time goes, by stage of the short way (lane.h). Compiled in by -Dpmd_profile=true, else nothing;
 * logged after each two million frames. Each mark costs some 25 cycles itself: shares are of use, sums are not.
 */
#ifndef VIADUCT_PMD_BACKENDS_PROFILE_H
#define VIADUCT_PMD_BACKENDS_PROFILE_H

#ifdef VIADUCT_PMD_PROFILE

#include "base/log.h"

#include <rte_cycles.h>

#define PROFILE_FRAMES 2000000U /* between two reports */

enum profile_stage {
	PROFILE_IDLE, /* rounds without a frame, and all that no other stage is */
	PROFILE_LOOK, /* sender's ring: index, heads, descriptors */
	PROFILE_ROOM, /* receiver's ring: the same, for room */
	PROFILE_COPY, /* frames: checked, routed, copied */
	PROFILE_USE, /* used rings published */
	PROFILE_TELL, /* fences, and whether a guest is to be interrupted */
	PROFILE_STAGES
};

struct profile {
	uint64_t then, cycles[PROFILE_STAGES], marks[PROFILE_STAGES];
	enum profile_stage stage;
	uint64_t bursts, frames;
};

extern __thread struct profile profile;

/* From now on it is another stage. */
static inline void profile_mark(enum profile_stage stage)
{
	uint64_t now = rte_rdtsc();

	profile.cycles[profile.stage] += now - profile.then;
	profile.marks[profile.stage]++;
	profile.stage = stage;
	profile.then = now;
}

static inline void profile_log(void)
{
	static const char *const names[] = { "idle", "look", "room", "copy", "use", "tell" };
	double frames = (double)profile.frames;

	log_info("profile: %.1f frames a burst", frames / (double)profile.bursts);
	for (unsigned int i = 0; i < PROFILE_STAGES; i++)
		log_info("profile: %-5s %6.1f cycles and %.2f marks a frame", names[i],
			 (double)profile.cycles[i] / frames, (double)profile.marks[i] / frames);
	memset(&profile, 0, sizeof(profile));
}

/* So many frames are in the burst. */
static inline void profile_burst(uint32_t frames)
{
	if (frames == 0)
		profile.stage = PROFILE_IDLE;
	profile.bursts += frames != 0;
	profile.frames += frames;
	if (profile.frames >= PROFILE_FRAMES)
		profile_log();
}

#else

#define profile_mark(stage)   ((void)0)
#define profile_burst(frames) ((void)0)

#endif
#endif
