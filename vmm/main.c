// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-vmm: one process, one VM. Gives up its rights, takes the launch message from the daemon,
 * builds the machine, runs it, writes down why it ended.
 */
#include "vmm/crash_stack.h"
#include "vmm/exit_record.h"
#include "vmm/kvm_probe.h"
#include "vmm/machine.h"
#include "vmm/machine_devices.h"
#include "vmm/requests.h"
#include "vmm/sandbox.h"
#include "vmm/selftest.h"
#include "vmm/status.h"

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

struct vmm {
	int sock; /* launch socket; the control takes it over */
	int signal_fd;
	bool is_selftest; /* then `selftest` is what was asked for, and there is no machine */
	struct vmm_spec spec;
	struct selftest_spec selftest;
	struct loop *loop;
	struct machine machine;
	struct control *control;
	struct exit_record record;
	struct crash_stack crash_stack; /* of the main thread */
};

/* For the handler of fatal signals alone. */
static const struct exit_record *crash_record;

static void crash_handle(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	const struct crash_facts facts = {
		.sig = sig,
		.code = info->si_code,
		.at = (uintptr_t)info->si_addr,
		.ip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP],
	};

	exit_record_crash(crash_record, &facts);
	raise(sig); /* SA_RESETHAND: now with the default action */
}

static void signal_ready(void *arg, int fd, uint32_t events)
{
	struct vmm *vmm = arg;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == sizeof(info))
		machine_end_request(&vmm->machine, MACHINE_SIGNAL,
				    "ended by signal %u from process %u of uid %u", info.ssi_signo,
				    info.ssi_pid, info.ssi_uid);
}

static int signals_init(struct vmm *vmm, struct err *e)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction sa = { .sa_sigaction = crash_handle,
				.sa_flags = SA_RESETHAND | SA_ONSTACK | SA_SIGINFO };
	int r = crash_stack_init(&vmm->crash_stack);

	if (r < 0)
		return err_set(e, r, "stack for signals: %s", strerror(-r));
	crash_record = &vmm->record;
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	return child_signals(&vmm->signal_fd, e);
}

static int launch_receive(struct vmm *vmm, struct err *e)
{
	auto_seqmsg struct seqmsg m = { 0 };
	char op[CONTROL_OP_TEXT];
	int r = child_launch_recv(vmm->sock, &m, e);

	if (r < 0)
		return r;
	r = control_head_parse(m.body, VMM_MSG_VERSION, op, e);
	vmm->is_selftest = r == 0 && strcmp(op, "selftest") == 0;
	if (vmm->is_selftest)
		r = selftest_spec_parse(&vmm->selftest, &m, e);
	else if (r == 0 && strcmp(op, "launch") != 0)
		r = err_set(e, EINVAL, "the first message must be \"launch\", not \"%s\"", op);
	else if (r == 0)
		r = vmm_spec_parse(&vmm->spec, &m, e);
	if (r < 0)
		r = err_wrap(e, "launch message");
	exit_record_init(&vmm->record, vmm->spec.exit_record_fd, vmm->spec.name);
	return r;
}

/* From the launch message's content to a machine whose vCPUs only wait for the word. */
static int launch(struct vmm *vmm, struct err *e)
{
	int r = loop_create(&vmm->loop, e);

	if (r < 0)
		return r;
	r = machine_create(&vmm->machine, &vmm->spec, vmm->loop, e);
	if (r < 0)
		return r;
	if (loop_add(vmm->loop, vmm->signal_fd, EPOLLIN, signal_ready, vmm) < 0)
		r = err_set(e, ENOMEM, "signals: out of memory");
	if (r == 0)
		r = sandbox_files(VMM_MAX_FILE, e);
	if (r == 0)
		r = sandbox_filter(SANDBOX_RUN | (vmm->spec.vsock_cid != 0 ? SANDBOX_VSOCK : 0), e);
	if (r == 0)
		r = machine_devices_wait(&vmm->machine, e);
	if (r < 0)
		machine_destroy(&vmm->machine);
	return r;
}

static int launch_fail(struct vmm *vmm, const struct err *e)
{
	auto_json json_t *reply = control_reply_err(VMM_MSG_VERSION, e);

	if (reply != NULL)
		(void)seqmsg_send(vmm->sock, reply, NULL, 0);
	(void)exit_record_write(&vmm->record, machine_end_name(MACHINE_LAUNCH_FAILED), e->text,
				NULL);
	log_err(e, vmm->spec.name[0] != '\0' ? vmm->spec.name : "launch");
	return EXIT_FAILURE;
}

static int run(struct vmm *vmm, struct err *e)
{
	struct machine *m = &vmm->machine;
	int sock = vmm->sock, r;
	auto_json json_t *reply = NULL;

	machine_entry_mark(m);
	reply = control_reply_ok(VMM_MSG_VERSION, machine_status(m));
	r = reply == NULL ? -ENOMEM : seqmsg_send(sock, reply, NULL, 0);
	if (r < 0)
		return err_set(e, r, "reply to the launch: %s", strerror(-r));
	r = requests_serve(m, &vmm->sock, &vmm->control, e);
	if (r < 0)
		return r;
	log_info("%s: %u vCPUs, %llu MiB, %u devices", m->spec->name, m->spec->cpu_count,
		 (unsigned long long)m->spec->memory_size >> 20, m->spec->device_count);
	machine_run(m);
	r = loop_run(vmm->loop);
	return r < 0 ? err_set(e, r, "event loop: %s", strerror(-r)) : 0;
}

/* One question, one answer. */
static int selftest_main(struct vmm *vmm)
{
	auto_json json_t *reply = NULL;
	json_t *result = NULL;
	struct err e = { 0 };
	int r = selftest_run(&vmm->selftest, &result, &e);

	reply = r < 0 ? control_reply_err(VMM_MSG_VERSION, &e)
		      : control_reply_ok(VMM_MSG_VERSION, result);
	return reply == NULL || seqmsg_send(vmm->sock, reply, NULL, 0) < 0;
}

static int vmm_main(struct vmm *vmm)
{
	struct err e = { 0 };
	auto_json json_t *life = NULL;
	enum machine_end end;
	int r = launch_receive(vmm, &e);

	if (r == 0 && vmm->is_selftest)
		return selftest_main(vmm);
	if (r == 0)
		r = launch(vmm, &e);
	if (r < 0)
		return launch_fail(vmm, &e);
	r = run(vmm, &e);
	if (r < 0) {
		log_err(&e, vmm->spec.name);
		machine_end_request(&vmm->machine, MACHINE_INTERNAL_ERROR, "%s", e.text);
	}
	control_destroy(vmm->control);
	machine_stop(&vmm->machine);
	end = vmm->machine.end;
	log_info("%s: %s: %s", vmm->spec.name, machine_end_name(end), vmm->machine.end_text);
	life = life_json(&vmm->machine.life);
	r = exit_record_write(&vmm->record, machine_end_name(end), vmm->machine.end_text, life);
	if (r < 0)
		log_warn("%s: exit record: %s", vmm->spec.name, strerror(-r));
	machine_destroy(&vmm->machine);
	return end == MACHINE_INTERNAL_ERROR ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct child_words words = { "viaduct-vmm", "one virtual machine",
						  "To run a VM:  viaduct vm run FILE" };
	struct vmm *vmm;
	struct err e = { 0 };
	char say[CHILD_TEXT];
	int fd = -1, r;

	if (argc == 2 && strcmp(argv[1], "--check-kvm") == 0)
		return kvm_probe_print("/dev/kvm");
	r = child_begin(argc, argv, &words, &fd, say);
	if (r < 0 && (getuid() == 0 || geteuid() == 0))
		r = child_usage(&words,
				"refuses to run as root: the daemon gives each VM a uid of its own",
				say);
	if (r >= 0) {
		fputs(say, r == EXIT_SUCCESS ? stdout : stderr);
		return r;
	}
	vmm = calloc(1, sizeof(*vmm));
	if (vmm == NULL)
		return EXIT_FAILURE;
	vmm->sock = fd;
	vmm_spec_init(&vmm->spec);
	selftest_spec_init(&vmm->selftest);
	exit_record_init(&vmm->record, -1, "");
	json_object_seed(0); /* reads /dev/urandom: before the sandbox */
	r = sandbox_process(fd, &e);
	if (r == 0)
		r = signals_init(vmm, &e);
	if (r == 0)
		r = sandbox_filter(SANDBOX_SETUP, &e);
	r = r < 0 ? launch_fail(vmm, &e) : vmm_main(vmm);
	fd_close(&vmm->sock);
	loop_destroy(vmm->loop);
	vmm_spec_fini(&vmm->spec);
	selftest_spec_fini(&vmm->selftest);
	fd_close(&vmm->signal_fd);
	crash_stack_fini(&vmm->crash_stack);
	free(vmm);
	return r;
}
