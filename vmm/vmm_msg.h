/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaductd and viaduct-vmm say to each other: JSON over SOCK_SEQPACKET (base/seqmsg.h). Only
 * structures and words, no functions: the two processes share this header and nothing else.
 *
 * Start. The daemon runs `viaduct-vmm --fd 3`; fd 3 is one end of a socket pair. Everything the VM
 * needs comes with the first message, "launch"; the VMM opens nothing itself. Later control
 * connections come in through the listener fd given there (SO_PEERCRED: root or the daemon's uid).
 *
 *   {"v":1, "op":"launch",
 *    "fds":["kvm","listener","console","exit_record","console_log","console_log_old","kernel",
 *           "initrd","container","group:26","group:27","vhost:mgt",
 *           "disk:root","image:root"],      names of the fds of the message, in order;
 *                              or "iommufd","cdev:0000:01:10.0", for iommufd
 *    "spec":{
 *      "name":"fw1",
 *      "memory":{"size":536870912,                   bytes, a multiple of 2 MiB
 *                "hugepage":0,                       0, 2097152 or 1073741824
 *                "hugepage_fallback":false,          optional: 4 KiB pages where these run short
 *                "low_limit":0,                      test option: RAM below 4 GiB ends here; 0: as the platform has it
 *                "numa":{"node":1, "strict":false,   may be absent; strict: the start fails rather than use another node
 *                        "cpus":"4-7"}},             CPUs near it, to build the VM on; "": none
 *      "cpus":{"count":2, "pin":[2,3],               pin: host CPU of each vCPU, or empty
 *              "dedicated":false,                    HLT, PAUSE and MWAIT do not exit; needs pin
 *              "own":"0-1"},                         host CPUs of the threads that are not pinned; "": any
 *      "boot":{"cmdline":"console=ttyS0",
 *              "ready":"login:"},                    optional: console text that ends the start
 *      "uuid":"8-4-4-4-12",                          optional: for firmware's SMBIOS; lower-case hexadecimal
 *      "rng":false, "virtio_console":false,          optional: small virtio devices; the console with its fd, hvc0
 *      "vsock":{"cid":N},                            optional, with the fd vhost_vsock, which has that CID already
 *      "on_panic":"restart", "watchdog":"reset",     words of VMM_PANIC_WORDS, VMM_WATCHDOG_WORDS; these without
 *      "devices":[{"port":"wan", "address":"0000:01:10.0", "group":26}],      VFIO functions
 *      "nets":[{"port":"mgt", "mac":"02:..",       optional: virtio-net devices, each served by a vhost-user backend
 *               "mtu":1500, "queues":1,            pairs, 1 to VMM_MAX_PAIRS
 *               "queue_size":256,                  entries of each ring, a power of two, 64 to VMM_MAX_RING
 *               "link":"auto",                     word of VMM_LINK_WORDS
 *               "grace_ms":3000,                   how long the guest keeps its carrier without a backend
 *               "backend_uid":64999}],             who may connect, beside root
 *      "disks":[{"disk":"root",                    optional: virtio-blk devices, at most VMM_MAX_DISKS, each served by a
 *                "queues":2,                       vhost-user backend; 1 to VMM_MAX_DISK_QUEUES
 *                "queue_size":256,                 as of a net
 *                "backend_uid":64999,
 *                "boot":1}]}}                      optional: its place in the firmware's boot order, 1 is first
 *   -> {"v":1, "ok":true, "result":{STATUS}}         sent when the first vCPU is about to run
 *   -> {"v":1, "ok":false, "error":{"code","errno","text","hint"}}   and the process exits
 *
 * Self test, instead of a launch: of one VF that is on vfio-pci, in the sandbox of a VM; one reply, and the process ends.
 *   {"v":1, "op":"selftest", "fds":["kvm","container","group","interrupts"],   the last, /proc/interrupts, may be absent
 *    "address":"0000:01:10.0", "group":26}
 *   -> result {"steps":[{"id","result":"pass|fail|not-run","text","us":N}...],
 *              "sent":N (messages of the VF to the guest), "host_counted":N (of these, by the host's handler; -1: not known)}
 *
 * Required fds: kvm (/dev/kvm), listener (SOCK_SEQPACKET, listening), console (SOCK_STREAM,
 * listening), exit_record (regular file, write), kernel or firmware. Optional: console_log and console_log_old (chipset_console_log.h), initrd.
 * With firmware (OVMF_CODE_4M.fd, VMM_CODE_IMAGE bytes) the kernel is what the firmware starts and may be absent; vars is the VM's own
 * variable store (VMM_VARS_FILE bytes, read and write): without it what the firmware stores is forgotten at the end.
 * With devices: container (/dev/vfio/vfio, opened, nothing set) and one group:N per IOMMU group; or iommufd (/dev/iommu) and
 * one cdev:ADDRESS per device: its device file, bound to that iommufd, attached to nothing. With nets: one vhost:PORT each
 * (SOCK_STREAM, listening): backends connect there, one at a time, come and go. With disks: one disk:NAME each, the same; and
 * image:NAME, optional: the open file description that holds the image's owner lock. It is kept open until the VM ends; all that is ever
 * done with it is to ask for the lock of the backend's I/O.
 * With virtio_console: hvc0 (SOCK_STREAM, listening), whose clients see and type as those of console do. With vsock: vhost_vsock (/dev/vhost-vsock).
 *
 * The launch with disks is answered when the backend of each has said what it offers, and how large the disk is; if one has
 * not after VMM_DISKS_WAIT_MS: error code "disk-backend", whose text names the disk.
 *
 * Requests on any control connection, one reply each, in order:
 *   {"v":1,"op":"status"}      -> STATUS
 *   {"v":1,"op":"stats"}       -> STATS ; error code "unknown-request" from a VMM that is older than it
 *   {"v":1,"op":"quarantine","port":"wan"}          -> STATUS ; bus mastering of its function is off, and stays off until
 *   {"v":1,"op":"unquarantine","port":"wan"}           this one, whatever the guest does; "unknown-request" from an older VMM
 *   {"v":1,"op":"set-link","port":"mgt","link":"down"}  -> STATUS ; of a net; "unknown-request" from an older VMM
 *   {"v":1,"op":"pause"} {"v":1,"op":"resume"}      -> STATUS (a paused VM's VFs still do DMA)
 *   {"v":1,"op":"shutdown"}    -> {} ; presses the power button; the daemon owns the deadline
 *   {"v":1,"op":"kill"}        -> {} ; stops at once, then the process exits
 *
 * STATUS = {"name","state":"running|paused","pid","uptime_ns","vcpus":N,"memory":bytes,
 *           "start":[{"step":"ram|prefault|pin|devices|kernel|entry|ready","ns":N}...],  in order; ready:
 *                    from the first instruction to "ready" on the console, once it was seen
 *           "guest_resets":N, "console_bytes":N, "page_size":bytes (of guest RAM), "life":LIFE,
 *           "devices":[{"port","address","group","driver_active":bool (bus mastering on),
 *                       "quarantined":bool, "vectors_enabled":N, "flr_count":N,
 *                       "traps":[{"bar":N,"offset":bytes,"size":bytes,"table":bool (MSI-X table or pending bits are there),
 *                                 "accesses":N (to other registers there)}]}],   what the host took back is gone from here
 *           "nets":[{"port","mac","queues":N (pairs in use),"backend":"waiting|connected|gone" (waiting: never yet),
 *                    "backend_pid":N,"reconnects":N,"link":bool (the guest's carrier),"driver_active":bool (DRIVER_OK),
 *                    "features":"0x..","ring":"split|packed","error":"why the last backend was dropped, or empty"}],
 *           "disks":[{"disk","size":bytes,"readonly":bool,"queues":N,"backend":"waiting|connected|gone","backend_pid":N,
 *                     "reconnects":N,"driver_active":bool,"features":"0x..","error":as of a net, or why its backend is waited for}],
 *           "virtio":[{"device":"rng|hvc0|vsock","driver_active":bool,"features":"0x..","to_guest":bytes,"from_guest":bytes,
 *                      "error":"why it does not work, or empty", "cid":N (of a vsock; the kernel moves its bytes, and does not count them)}],
 *           "cpus":{"dedicated":bool,"mwait":bool,"tsc_khz":N},   mwait: the guest idles with it; 0 kHz: not known
 *           "ram_nodes":[{"node":N,"bytes":N}...],   where guest RAM lies; empty if the kernel does not say
 *           "firmware":{"vars":"none|stored|waiting|failed","commits":N,"error":"why they are not stored, or empty"},   with firmware
 *           "exits":{"io":N,"mmio":N,"hlt":N,"other":N}}
 *
 * STATS = {"name","state","uptime_ns",
 *          "exits":as in STATUS, "vcpus":[as in STATUS, for each vCPU],          returns of KVM_RUN
 *          "kvm":{"vm_names":[..],"vm":[N..],"vcpu_names":[..],"vcpus":[[N..]..]} or "kvm_absent":"why"
 *                    KVM's own numbers, in the order of the names, which are KVM's (vmm/kvm_stats.c)
 *          "regions":[{"space":"pio|mmio","name","reads","writes"}],            trapped accesses
 *          "devices":[{"port","address","bar":{"reads","writes"},"config":{"reads","writes"}}]}
 * LIFE = {"resets":{CAUSE:N...}, "reset_at":S, "panics":N, "panicked_at":S, "crash_kernels":N,
 *         "watchdogs":N, "watchdog_at":S}            S: seconds since the epoch, 0: never
 *   CAUSE: port-cf9, port-64, port-92, triple-fault, kvm, watchdog, panic; only those that happened
 *
 * Exit record: one JSON object written into exit_record when the VM ends, whatever the cause:
 *   {"v":1,"name","reason":"poweroff|killed|guest-panicked|watchdog|device-requested|device-error|
 *                           internal-error|launch-failed|signal",
 *    "text":"for the operator","wall_time":S,"uptime_ns","life":LIFE (not with "signal" after a crash)}
 * A VMM that died without writing one (SIGKILL) is "unknown" to the daemon until it reaps its status.
 */
#ifndef VIADUCT_VMM_VMM_MSG_H
#define VIADUCT_VMM_VMM_MSG_H

#define VMM_MSG_VERSION 1
#define VMM_LAUNCH_FD	3

/* APIC ids below 255: what has more needs x2APIC ids and a virtual VT-d that remaps interrupts to them. */
#define VMM_MAX_CPUS	    254
#define VMM_MAX_DEVICES	    16
#define VMM_MAX_NETS	    16
#define VMM_MAX_PAIRS	    8
#define VMM_MAX_RING	    1024
#define VMM_MAX_DISKS	    16
#define VMM_MAX_DISK_QUEUES 16
#define VMM_MAX_BOOT	    255 /* places in the boot order */
#define VMM_DISKS_WAIT_MS   10000
#define VMM_MIN_MEMORY	    (64ULL << 20)
#define VMM_MAX_MEMORY	    (1ULL << 40)
/* Where guest RAM lies: from 0 on, all of it up to LOW_RAM_MAX; of more, LOW_RAM_SPLIT (as q35 does), the rest from
 * HIGH_RAM on; from FAR_RAM on where that rest is more than HIGH_RAM_ROOM and would reach into the hole that AMD's hosts
 * have below 1 TiB, in which their IOMMU maps nothing. */
#define VMM_LOW_RAM_MAX	  0xB0000000ULL
#define VMM_LOW_RAM_SPLIT 0x80000000ULL
#define VMM_HIGH_RAM	  0x100000000ULL
#define VMM_HIGH_RAM_ROOM 0xFC00000000ULL
#define VMM_FAR_RAM	  0x10000000000ULL
#define VMM_MAX_CMDLINE	  2047
/* Firmware: OVMF's 4M build, CODE up to 4 GiB and VARS below it. A VM's own file has the image of its variables, and behind
 * it room for a journal (flash_store.h). */
#define VMM_CODE_IMAGE 0x37C000U
#define VMM_VARS_IMAGE 0x84000U
#define VMM_VARS_FILE  (2U * VMM_VARS_IMAGE + 4096U)
#define VMM_MAX_READY  63
#define VMM_MAX_NODE   1023
/* Of the memfd that is guest RAM: by it the daemon finds its mappings in /proc/PID/numa_maps. */
#define VMM_RAM_NAME "guest-ram"

/* No file that a VMM writes (log, console log, exit record) grows beyond this, whatever its guest or a
 * guest that took it over does: RLIMIT_FSIZE. */
#define VMM_MAX_FILE (4ULL << 20)

/* What becomes of a guest whose kernel has panicked: reset (at most 5 times in a row), the VM ended, or
 * nothing: the guest does what it was told (panic=N). */
enum vmm_panic { VMM_PANIC_RESTART, VMM_PANIC_STOP, VMM_PANIC_KEEP, VMM_PANICS };
#define VMM_PANIC_WORDS                   \
	{                                 \
		"restart", "stop", "keep" \
	}

/* The carrier of a net: with its backend and what that says of its uplink; always; never. */
enum vmm_link { VMM_LINK_AUTO, VMM_LINK_UP, VMM_LINK_DOWN, VMM_LINKS };
#define VMM_LINK_WORDS               \
	{                            \
		"auto", "up", "down" \
	}

/* What the guest's hardware watchdog does when the guest, having started it, does not feed it. */
enum vmm_watchdog { VMM_WATCHDOG_RESET, VMM_WATCHDOG_STOP, VMM_WATCHDOG_OFF, VMM_WATCHDOGS };
#define VMM_WATCHDOG_WORDS             \
	{                              \
		"reset", "stop", "off" \
	}

#endif
