// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whole machines with their n-th system call failing: without devices, and with a VFIO function. What
 * failed leaves no fd, mapping, heap, memory slot, irqfd or DMA map, and says why.
 */
#include "tests/fake/fault.h"
#include "tests/fake/fault_sweep.h"
#include "tests/fake/kvm_kernel.h"
#include "tests/fake/vfio_guest.h"

#include "vmm/machine.h"
#include "vmm/requests.h"

#include "base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	unsigned int devices, nets, disks;
	bool firmware, has_extras;
	int launch_sock, peer;
	struct vmm_spec spec;
	struct loop *loop;
	struct machine m;
	struct control *control;
};

static int listener_make(int type)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	/* Autobind: an abstract address of the kernel's choice. */
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void devices_fill(struct fixture *f)
{
	struct vmm_spec *spec = &f->spec;

	spec->container_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	strcpy(spec->members[0].name, "group:26");
	spec->members[0].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	spec->member_count = 1;
	spec->device_count = f->devices;
	for (unsigned int i = 0; i < f->devices; i++) {
		struct vmm_device_spec *dev = &spec->devices[i];

		dev->port[0] = (char)('a' + i);
		dev->address = (struct pci_addr){ 0, 1, 0x10, (uint8_t)i };
		dev->group = 26;
	}
}

static void nets_fill(struct fixture *f)
{
	struct vmm_spec *spec = &f->spec;

	spec->net_count = spec->vhost_count = f->nets;
	for (unsigned int i = 0; i < f->nets; i++) {
		spec->nets[i] = (struct vmm_net_spec){ .port = { (char)('m' + i) },
						       .mac = { 2 },
						       .mtu = 1500,
						       .pairs = 2,
						       .ring_size = 256,
						       .socket = i };
		spec->vhosts[i].fd = listener_make(SOCK_STREAM);
	}
}

static void disks_fill(struct fixture *f)
{
	struct vmm_spec *spec = &f->spec;

	spec->disk_count = spec->disk_fds_count = f->disks;
	for (unsigned int i = 0; i < f->disks; i++) {
		spec->disks[i] = (struct vmm_disk_spec){ .disk = { (char)('p' + i) },
							 .queues = 2,
							 .queue_size = 256,
							 .boot = i + 1,
							 .fds = i };
		spec->disk_fds[i].socket_fd = listener_make(SOCK_STREAM);
		spec->disk_fds[i].image_fd = memfd_create("image", MFD_CLOEXEC);
	}
}

static void extras_fill(struct vmm_spec *spec)
{
	spec->has_rng = spec->has_virtio_console = true;
	spec->hvc0_fd = listener_make(SOCK_STREAM);
	spec->vsock_cid = 3;
}

/* OVMF's files as far as the VMM looks at them. */
static void firmware_fill(struct vmm_spec *spec)
{
	static const uint8_t head[] = { 0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C, 0xA9, 0x85,
					0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50, 0x00, 0x40, 0x08, 0x00,
					0x00, 0x00, 0x00, 0x00, '_',  'F',  'V',  'H' };

	spec->firmware_fd = memfd_create("code", MFD_CLOEXEC);
	assert_int_equal(ftruncate(spec->firmware_fd, VMM_CODE_IMAGE), 0);
	spec->vars_fd = memfd_create("vars", MFD_CLOEXEC);
	assert_int_equal(ftruncate(spec->vars_fd, VMM_VARS_FILE), 0);
	assert_int_equal(pwrite(spec->vars_fd, head, sizeof(head), 16), sizeof(head));
	fd_close(&spec->kernel_fd);
}

/* What the daemon would send, and the device that is behind its groups. */
static void setting_make(struct fixture *f)
{
	int pair[2];

	memset(&f->m, 0, sizeof(f->m));
	vmm_spec_init(&f->spec);
	strcpy(f->spec.name, "t");
	strcpy(f->spec.cmdline, "hlt");
	f->spec.memory_size = MIB(64);
	f->spec.cpu_count = 2;
	f->spec.kernel_fd = fake_kvm_kernel();
	f->spec.listener_fd = listener_make(SOCK_SEQPACKET);
	f->spec.console_fd = listener_make(SOCK_STREAM);
	fake_guest_init();
	if (f->devices != 0) {
		assert_int_equal(fake_guest_device(), 0);
		devices_fill(f);
	}
	nets_fill(f);
	disks_fill(f);
	if (f->has_extras)
		extras_fill(&f->spec);
	if (f->firmware)
		firmware_fill(&f->spec);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->launch_sock = pair[0];
	f->peer = pair[1];
}

static void setting_end(struct fixture *f)
{
	vmm_spec_fini(&f->spec);
	fd_close(&f->launch_sock);
	fd_close(&f->peer);
	fake_guest_device_close();
	fake_kvm_reset();
}

/* As viaduct-vmm does, from the launch message to the control's sockets. */
static int machine_make(void *arg, struct err *e)
{
	struct fixture *f = arg;
	int r;

	fault_pause();
	setting_make(f);
	fault_resume();
	r = loop_create(&f->loop, e);
	if (r < 0)
		goto fail;
	r = machine_create(&f->m, &f->spec, f->loop, e);
	if (r < 0)
		goto fail_loop;
	r = requests_serve(&f->m, &f->launch_sock, &f->control, e);
	if (r < 0)
		goto fail_machine;
	return 0;

fail_machine:
	machine_destroy(&f->m);
fail_loop:
	loop_destroy(f->loop);
fail:
	setting_end(f);
	return r;
}

static void machine_end(void *arg)
{
	struct fixture *f = arg;

	control_destroy(f->control);
	machine_destroy(&f->m);
	for (unsigned int i = 0; i < FAKE_KVM_SLOTS; i++)
		/* RAM's and firmware's slots go with the VM itself. */
		assert_true(fake_kvm.slots[i].memory_size == 0 ||
			    fake_kvm.slots[i].guest_phys_addr < GIB(4));
	loop_destroy(f->loop);
	setting_end(f);
}

static void nothing_is_left(void *arg)
{
	assert_int_equal(fake_kvm.irqfds, 0);
	assert_int_equal(fake_kvm.doorbell_count, 0);
	assert_int_equal(fake_guest.dma_maps, 0);
	assert_int_equal(fake_guest.groups, 0);
	assert_false(fake_guest.dma_hole);
}

static void machine_without_devices(void **state)
{
	struct fixture f = { .devices = 0 };
	const struct fault_sweep sweep = {
		"machine", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = NULL;
	assert_true(fault_sweep(&sweep) > 100);
}

static void machine_with_a_function(void **state)
{
	struct fixture f = { .devices = 1 };
	const struct fault_sweep sweep = {
		"machine with a VFIO function", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = fake_vfio_ioctl;
	assert_true(fault_sweep(&sweep) > 150);
}

static void machine_with_polled_ports(void **state)
{
	struct fixture f = { .nets = 2 };
	const struct fault_sweep sweep = {
		"machine with polled ports", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = NULL;
	assert_true(fault_sweep(&sweep) > 140);
}

/* In the firmware's boot order, too. */
static void machine_with_disks(void **state)
{
	struct fixture f = { .disks = 2, .firmware = true };
	const struct fault_sweep sweep = {
		"machine with disks", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = NULL;
	assert_true(fault_sweep(&sweep) > 120);
}

static int vhost_ioctl(unsigned long request, void *arg)
{
	return 0;
}

static void machine_with_small_devices(void **state)
{
	struct fixture f = { .has_extras = true };
	const struct fault_sweep sweep = {
		"machine with small devices", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = NULL;
	fake_kvm.vhost = vhost_ioctl;
	assert_true(fault_sweep(&sweep) > 120);
}

static void machine_with_firmware(void **state)
{
	struct fixture f = { .firmware = true };
	const struct fault_sweep sweep = {
		"machine with firmware", &f, machine_make, machine_end, nothing_is_left,
	};

	fake_kvm.vfio = NULL;
	assert_true(fault_sweep(&sweep) > 110);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_without_devices),
		cmocka_unit_test(machine_with_a_function),
		cmocka_unit_test(machine_with_polled_ports),
		cmocka_unit_test(machine_with_disks),
		cmocka_unit_test(machine_with_small_devices),
		cmocka_unit_test(machine_with_firmware),
	};

	return cmocka_run_group_tests_name("vmm-machine-faults", tests, NULL, NULL);
}
