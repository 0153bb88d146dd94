// SPDX-License-Identifier: BSD-3-Clause
#include "cli/command.h"

#include "cli/cli.h"
#include "cli/nearest.h"

#include <errno.h>
#include <stdio.h>

#define ROW(noun, verb, synopsis, summary, options, min, max, run)                              \
	{                                                                                       \
		noun, verb, { "viaduct " noun " " verb, synopsis, summary, options, min, max }, \
			run                                                                     \
	}
#define ALLOC_OPTIONS                                                                     \
	(BIT_ULL(OPT_NETWORK) | BIT_ULL(OPT_PF) | BIT_ULL(OPT_NUMA) | BIT_ULL(OPT_NAME) | \
	 BIT_ULL(OPT_EXPLAIN))
#define APPLY_OPTIONS                                                     \
	(BIT_ULL(OPT_VFS) | BIT_ULL(OPT_DISRUPT) | BIT_ULL(OPT_TIMEOUT) | \
	 BIT_ULL(OPT_CONFIRM_WITHIN) | BIT_ULL(OPT_ADOPT) | BIT_ULL(OPT_NO_WAIT))
#define APPLY_SYNOPSIS \
	"PF [--vfs N] [--adopt] [--disrupt VM,lease:LEASE,...] [--timeout SECONDS] [--confirm-within TIME] [--no-wait]"
#define RUN_OPTIONS                                                                                \
	(BIT_ULL(OPT_DRY_RUN) | BIT_ULL(OPT_OWNER) | BIT_ULL(OPT_EXPLAIN) | BIT_ULL(OPT_NO_WAIT) | \
	 BIT_ULL(OPT_UNSAFE))
#define RUN_SYNOPSIS \
	"FILE [--owner USER] [--allow-unsafe-interrupts REASON] [--dry-run [--explain] | --no-wait]"
#define CREATE_SYNOPSIS "FILE [--replace] [--owner USER] [--allow-unsafe-interrupts REASON]"
#define STOP_SYNOPSIS \
	"NAME [--timeout SECONDS] [--no-kill] [--no-wait] | --all [--timeout SECONDS] [--no-wait]"
#define IMPORT_OPTIONS                                                                     \
	(BIT_ULL(OPT_TO) | BIT_ULL(OPT_FORMAT) | BIT_ULL(OPT_SIZE) | BIT_ULL(OPT_VERIFY) | \
	 BIT_ULL(OPT_PREALLOCATE))
#define IMPORT_SYNOPSIS \
	"FILE [--to PATH] [--format FORMAT] [--size SIZE] [--verify] [--preallocate]"
#define BENCH_OPTIONS                                                                              \
	(BIT_ULL(OPT_PROFILE) | BIT_ULL(OPT_ROUNDS) | BIT_ULL(OPT_JSON_FILE) | BIT_ULL(OPT_HTML) | \
	 BIT_ULL(OPT_AGAINST) | BIT_ULL(OPT_PF) | BIT_ULL(OPT_WIRE) | BIT_ULL(OPT_GUEST_KERNEL) |  \
	 BIT_ULL(OPT_GUEST_IMAGE))
#define BENCH_SYNOPSIS \
	"SCENARIO... [--profile PROFILE] [--rounds N] [--json FILE] [--html FILE] [--against MONITOR] [--pf PF] [--wire PORT] [--guest-kernel FILE] [--guest-image FILE]"
#define SET_WORDS   13 /* the VF and every attribute once */
#define PORT_WORDS  13 /* the port and every word once */
#define BENCH_WORDS 16

/* clang-format off */
const struct command commands[] = {
	ROW("host", "check", "", "every prerequisite: pass, warn or fail with its remedy",
	    0, 0, 0, host_check),
	ROW("host", "selftest", "[--pf PF] [--out FILE]",
	    "run what only real hardware can show on a free VF, which is wiped and free again; exit status 1 unless all passes",
	    BIT_ULL(OPT_PF) | BIT_ULL(OPT_OUT), 0, 0, host_selftest),
	ROW("pf", "list", "", "functions with SR-IOV",
	    0, 0, 0, pf_list),
	ROW("pf", "show", "PF", "one of them: SR-IOV capability, isolation, VFs",
	    0, 1, 1, pf_show),
	ROW("pf", "plan", "PF --vfs N", "what `pf apply` would do, step by step, and whom it would hurt",
	    BIT_ULL(OPT_VFS), 1, 1, pf_plan),
	ROW("pf", "apply", APPLY_SYNOPSIS, "make it N VFs",
	    APPLY_OPTIONS, 1, 1, pf_apply),
	ROW("pf", "confirm", "PF", "keep the VFs that `pf apply --confirm-within` made",
	    0, 1, 1, pf_confirm),
	ROW("vf", "list", "", "all VFs and who has them",
	    0, 0, 0, vf_list),
	ROW("vf", "show", "VF", "one VF: attributes, capabilities, isolation",
	    0, 1, 1, vf_show),
	ROW("vf", "alloc", "[--name LEASE] [--network N | --pf PF] [--numa N] [--explain]",
	    "lease a free VF; with --explain and no name: only say which, and why",
	    ALLOC_OPTIONS, 0, 0, vf_alloc),
	ROW("vf", "set", "VF KEY=VALUE...",
	    "set mac, vlan, qos, proto, spoofchk, trust, link, rate, min_rate; print what is read back",
	    0, 2, SET_WORDS, vf_set),
	ROW("vf", "release", "VF [--no-wait]", "end the lease; reset and scrub the VF",
	    BIT_ULL(OPT_NO_WAIT), 1, 1, vf_release),
	ROW("vf", "scrub", "VF [--no-wait]", "try again to wipe one that is quarantined",
	    BIT_ULL(OPT_NO_WAIT), 1, 1, vf_scrub),
	ROW("function", "list", "", "whole functions, and which of them a VM could have",
	    0, 0, 0, function_list),
	ROW("function", "show", "FUNCTION", "one of them: who has it, what the host does with it",
	    0, 1, 1, function_show),
	ROW("function", "release", "FUNCTION", "give one that is quarantined back to its driver",
	    0, 1, 1, function_release),
	ROW("iommu", "list", "", "remapping units: registers, address width, what they can do",
	    0, 0, 0, iommu_list),
	ROW("iommu", "show", "UNIT", "one of them: every register field, its scopes in the firmware's table, its functions",
	    0, 1, 1, iommu_show),
	ROW("iommu", "group", "FUNCTION", "is it isolated: unit, interrupt remapping, group, ACS, firmware's memory, with the evidence",
	    0, 1, 1, iommu_group),
	ROW("iommu", "faults", "[--follow]",
	    "what devices did that they may not: DMA, interrupts, PCI Express errors; whose they are, and what is missing",
	    BIT_ULL(OPT_FOLLOW), 0, 0, iommu_faults),
	ROW("iommu", "audit", "[--vm NAME]",
	    "does what the functions of VMs reach equal what these have, by the hardware's own tables; exit status 1 unless proven",
	    BIT_ULL(OPT_VM), 0, 0, iommu_audit),
	ROW("uplink", "list", "", "what joins polled ports to a wire, and the process that serves them",
	    0, 0, 0, uplink_list),
	ROW("uplink", "show", "UPLINK", "one of them: device, link, driver, counters",
	    0, 1, 1, uplink_show),
	ROW("network", "list", "", "networks of the configuration, their uplinks and free VFs",
	    0, 0, 0, network_list),
	ROW("network", "show", "NETWORK", "one of them: uplinks, ports of both engines, MACs that its switch has learned",
	    0, 1, 1, network_show),
	ROW("config", "check", "[FILE]", "is viaductd.yaml right, and can this machine do it",
	    0, 0, 1, config_check),
	ROW("config", "diff", "", "where the daemon, its file and the machine disagree; exit status 1 if they do",
	    0, 0, 0, config_diff),
	ROW("state", "backup", "FILE", "copy the ledger into a new file; the daemon may run",
	    0, 1, 1, state_backup),
	ROW("state", "restore", "FILE", "put such a copy in the ledger's place; the daemon must not run",
	    0, 1, 1, state_restore),
	ROW("image", "import", IMPORT_SYNOPSIS,
	    "make a raw disk image of a qcow2, vmdk, vhdx, vdi, vpc or raw one that nobody vouches for",
	    IMPORT_OPTIONS, 1, 1, image_import_run),
	ROW("image", "create", "PATH SIZE [--preallocate]", "make an empty disk image",
	    BIT_ULL(OPT_PREALLOCATE), 2, 2, image_create_run),
	ROW("image", "info", "PATH", "an image's format and size, and whether a VM has it",
	    0, 1, 1, image_info_run),
	ROW("vm", "check", "FILE [--explain]", "is the VM file right, and what would `vm run` do",
	    BIT_ULL(OPT_EXPLAIN), 1, 1, vm_check),
	ROW("vm", "run", RUN_SYNOPSIS,
	    "create and start the VM of this file ('-': standard input)",
	    RUN_OPTIONS, 1, 1, vm_run),
	ROW("vm", "list", "", "all VMs",
	    0, 0, 0, vm_list),
	ROW("vm", "show", "NAME", "one VM: state, ports, start time, how it ended",
	    0, 1, 1, vm_show),
	ROW("vm", "create", CREATE_SYNOPSIS,
	    "keep the VM of this file: it can be started, comes back after a crash and with the host",
	    BIT_ULL(OPT_REPLACE) | BIT_ULL(OPT_OWNER) | BIT_ULL(OPT_UNSAFE), 1, 1, vm_create),
	ROW("vm", "start", "NAME [--no-wait] | --all",
	    "start a VM that is kept; --all: those that `vm stop --all` has stopped",
	    BIT_ULL(OPT_ALL) | BIT_ULL(OPT_NO_WAIT), 0, 1, vm_start),
	ROW("vm", "stop", STOP_SYNOPSIS,
	    "press the power button; kill after SECONDS (30, or what its file says); --all: in order, 240",
	    BIT_ULL(OPT_ALL) | BIT_ULL(OPT_TIMEOUT) | BIT_ULL(OPT_NO_KILL) | BIT_ULL(OPT_NO_WAIT), 0, 1, vm_stop),
	ROW("vm", "restart", "NAME [--timeout SECONDS] [--no-kill] [--no-wait]",
	    "stop it, then start it, with the same VFs if they can be had",
	    BIT_ULL(OPT_TIMEOUT) | BIT_ULL(OPT_NO_KILL) | BIT_ULL(OPT_NO_WAIT), 1, 1, vm_restart),
	ROW("vm", "kill", "NAME", "end the VM at once",
	    0, 1, 1, vm_kill),
	ROW("vm", "delete", "NAME [--force]", "forget the VM: its file's copy, history, logs",
	    BIT_ULL(OPT_FORCE), 1, 1, vm_delete),
	ROW("vm", "history", "NAME", "its last starts and ends: when, why, who asked",
	    0, 1, 1, vm_history),
	ROW("vm", "pause", "NAME", "stop its vCPUs (its VFs still do DMA)",
	    0, 1, 1, vm_pause),
	ROW("vm", "resume", "NAME", "let its vCPUs run again",
	    0, 1, 1, vm_resume),
	ROW("vm", "quarantine", "NAME[/PORT]", "end the DMA of its VFs, whatever the guest writes; the VM goes on",
	    0, 1, 1, vm_quarantine),
	ROW("vm", "unquarantine", "NAME[/PORT]", "let them do DMA again",
	    0, 1, 1, vm_unquarantine),
	ROW("vm", "console", "NAME [--port CONSOLE] [--timeout SECONDS | --log]",
	    "the serial console, or hvc0; Ctrl-] leaves it. --log: what was on the serial one, also of a VM that has ended",
	    BIT_ULL(OPT_PORT) | BIT_ULL(OPT_TIMEOUT) | BIT_ULL(OPT_LOG), 1, 1, vm_console),
	ROW("vm", "stats", "NAME [--follow] [--interval SECONDS]",
	    "guest exits by kind, trapped accesses, interrupts by vector",
	    BIT_ULL(OPT_FOLLOW) | BIT_ULL(OPT_INTERVAL), 1, 1, vm_stats),
	ROW("port", "list", "", "ports of all VMs that run: who serves each, VF or network, MAC, state",
	    0, 0, 0, port_list),
	ROW("port", "show", "VM/PORT", "one of them: policy, backend, carrier",
	    0, 1, 1, port_show),
	ROW("port", "set", "VM/PORT WORD=VALUE...",
	    "change its policy while the VM runs: vlan, mode, qos, proto, trust, spoofchk, link, uplink_loss, rate, min_rate, storm, macs",
	    0, 2, PORT_WORDS, port_set),
	ROW("port", "stats", "[VM/PORT] [--follow] [--interval SECONDS]",
	    "packets and bits each way, drops by reason, kicks and calls",
	    BIT_ULL(OPT_FOLLOW) | BIT_ULL(OPT_INTERVAL), 0, 1, port_stats),
	ROW("disk", "list", "", "disks of all VMs that run: size, state, image",
	    0, 0, 0, disk_list),
	ROW("disk", "show", "VM/DISK", "one of them: image, limits, counters, errors",
	    0, 1, 1, disk_show),
	ROW("disk", "stats", "[VM/DISK]", "requests and bytes of each kind, errors, kicks and calls",
	    0, 0, 1, disk_stats),
	ROW("disk", "set", "VM/DISK LIMIT=VALUE...", "limit it while its VM runs: iops, bandwidth (bytes a second); off: no limit",
	    0, 2, 3, disk_set),
	ROW("disk", "resize", "VM/DISK [SIZE]", "make its image larger while its VM runs; without SIZE: it has become larger",
	    0, 1, 2, disk_resize),
	ROW("operation", "list", "", "what was begun with --no-wait or from a terminal, running or ended",
	    0, 0, 0, operation_list),
	ROW("operation", "show", "ID [--follow]",
	    "one of them: its steps and what it came to; --follow waits for its end, which is the exit status",
	    BIT_ULL(OPT_FOLLOW), 1, 1, operation_show),
	ROW("bench", "list", "", "scenarios that can be measured",
	    0, 0, 0, bench_list),
	ROW("bench", "run", BENCH_SYNOPSIS,
	    "measure the same work on the bare host, in a guest, and beside QEMU; ratios with their intervals",
	    BENCH_OPTIONS, 1, BENCH_WORDS, bench_run),
	ROW("bench", "report", "FILE [--html FILE] [--png FILE [--plot PLOT,...] [--dark]]",
	    "what a result file says, as a table, a page or a picture",
	    BIT_ULL(OPT_HTML) | BIT_ULL(OPT_PNG) | BIT_ULL(OPT_PLOT) | BIT_ULL(OPT_DARK), 1, 1, bench_report),
	ROW("bench", "compare", "FILE OTHER [--again FILE] [--every]", "what has changed between two result files beyond the noise",
	    BIT_ULL(OPT_AGAIN) | BIT_ULL(OPT_EVERY), 2, 2, bench_compare),
	ROW("bench", "selftest", "", "the generator against itself: faults put in on purpose must be found",
	    0, 0, 0, bench_selftest),
	{ "events", NULL, { "viaduct events", "[--follow] [--since CURSOR]",
			    "what has happened to VFs, PFs, functions, VMs, alarms and the daemon",
			    BIT_ULL(OPT_FOLLOW) | BIT_ULL(OPT_SINCE), 0, 0 }, events_show },
	{ "alarms", NULL, { "viaduct alarms", "", "what is wrong now, and what to do about it",
			    0, 0, 0 }, alarms_show },
	{ "explain", NULL, { "viaduct explain", "[CODE]", "what an error's or alarm's code means",
			     0, 0, 1 }, explain_show },
	{ "version", NULL, { "viaduct version", "", "versions of this program and of the daemon",
			     0, 0, 0 }, version_show },
	{ "help", NULL, { "viaduct help", "[NOUN [VERB]]", "this text, or that of one command",
			  0, 0, 2 }, help_show },
};
/* clang-format on */
const size_t command_count = ARRAY_SIZE(commands);

static int unknown_noun(const char *word, struct err *e)
{
	const char *nouns[ARRAY_SIZE(commands)];
	const char *near;

	for (size_t i = 0; i < command_count; i++)
		nouns[i] = commands[i].noun;
	cli_usage(e, "there is no command '%.64s'", word);
	near = nearest_word(word, nouns, command_count);
	if (near != NULL)
		return err_hint(e, "viaduct %s", near);
	/* `viaduct console fw1`: the verb alone */
	for (size_t i = 0; i < command_count; i++)
		if (commands[i].verb != NULL && strcmp(commands[i].verb, word) == 0)
			return options_hint(&commands[i].grammar, e);
	return err_hint(e, "viaduct help");
}

static int unknown_verb(const char *noun, const char *word, struct err *e)
{
	const char *verbs[ARRAY_SIZE(commands)];
	const char *near;
	char all[256] = "";
	size_t n = 0, len = 0;

	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i].noun, noun) != 0)
			continue;
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", n > 0 ? " | " : "",
					commands[i].verb);
		if (len >= sizeof(all))
			len = sizeof(all) - 1;
		verbs[n++] = commands[i].verb;
	}
	near = word != NULL ? nearest_word(word, verbs, n) : NULL;
	if (word == NULL)
		cli_usage(e, "%s: do what?", noun);
	else
		cli_usage(e, "%s: there is no '%.64s'", noun, word);
	return near != NULL ? err_hint(e, "viaduct %s %s", noun, near)
			    : err_hint(e, "viaduct %s %s", noun, all);
}

int command_find(char **words, size_t count, const struct command **out, size_t *used,
		 struct err *e)
{
	bool is_noun = false;

	if (count == 0)
		return cli_usage(e, "no command");
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->noun, words[0]) != 0)
			continue;
		is_noun = true;
		if (c->verb != NULL && (count < 2 || strcmp(c->verb, words[1]) != 0))
			continue;
		*out = c;
		*used = c->verb != NULL ? 2 : 1;
		return 0;
	}
	/* `viaduct vm --json`: an option is no wrong verb. */
	return is_noun ? unknown_verb(words[0], count > 1 && words[1][0] != '-' ? words[1] : NULL,
				      e)
		       : unknown_noun(words[0], e);
}
