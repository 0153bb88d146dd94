/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaductd and viaduct-pmd say to each other: JSON over SOCK_SEQPACKET (base/seqmsg.h). Only
 * structures and words, no functions: the two processes share this header and nothing else.
 *
 * Start. The daemon runs `viaduct-pmd --fd 3`; fd 3 is one end of a socket pair. The first message is the launch.
 * Later control connections come in through the listener given there (SO_PEERCRED: root or who launched it).
 *
 *   {"v":1, "op":"launch", "fds":["listener"],     SOCK_SEQPACKET, listening
 *    "spec":{
 *      "name":"net0",
 *      "cpus":[2,3],                    host CPU of each lcore; []: one lcore on any CPU
 *      "memory":134217728,              bytes of packet memory
 *      "hugepages":true,                false: 4 KiB pages (no physical contiguity: VFIO and software uplinks work, slower)
 *      "idle":"poll",                   word of PMD_IDLE_WORDS
 *      "role":"net",                    optional, word of PMD_ROLE_WORDS: what this process serves. "block" takes no memory, hugepages, uplink_kinds
 *      "uplink_kinds":["pci"],          optional: no other kind may be added, and no capability is kept for others; default: all
 *      "guest_uid":[64000,1000]}}       first and count: who may listen at a port's socket, beside root and our own uid
 *   -> {"v":1, "ok":true, "result":{STATUS}}          when the lcores poll
 *   -> {"v":1, "ok":false, "error":{"code","errno","text","hint"}}   and the process exits
 *
 * Requests on any control connection, one reply each, in order. Nothing that was acknowledged is undone but by a request
 * or by the end of the process; each is complete or has changed nothing.
 *   {"v":1,"op":"status"}            -> STATUS
 *   {"v":1,"op":"uplink-add", UPLINK} -> {"uplink":STATUS of it}       error codes "uplink-exists", "no-such-device", "device-refused"
 *   {"v":1,"op":"uplink-macs","name":"nic0","macs":["02:.."]} -> {"uplink":STATUS of it}   addresses that the device shall take beside its
 *                                      own, all of them; it takes as many as it has room for, in this order; "no-such-uplink"
 *   {"v":1,"op":"uplink-remove","name":"nic0"}                         "no-such-uplink", "uplink-in-use"
 *   {"v":1,"op":"network-add","name":"management","uplinks":["nic0"],"bond":BOND}   uplinks may be empty: a switch without a wire
 *   {"v":1,"op":"network-remove","name":"management"}                  "no-such-network", "network-in-use"
 *   {"v":1,"op":"port-add", PORT}                                      "port-exists", "no-such-network"
 *   {"v":1,"op":"port-set","port":"fw1/mgt","policy":POLICY}           the whole policy; "no-such-port"
 *   {"v":1,"op":"port-remove","port":"fw1/mgt"}                        no lcore touches its rings or memory when this is answered
 *   {"v":1,"op":"stats"}             -> STATS ; {"op":"stats","port":"fw1/mgt"} of one port
 *   {"v":1,"op":"fdb","network":"management"} -> {"entries":[{"mac","vlan","at":"fw1/mgt" or "uplink:nic0","age_s":N,"fixed":bool}...],"more":bool}
 *   {"v":1,"op":"mirror","port":"fw1/mgt","fds":["file"],"limit_bytes":N}  the port's frames, both ways, to that file as pcapng until it
 *                                      has limit_bytes; "no-such-port", "mirror-exists", "bad-mirror"
 *   {"v":1,"op":"mirror-stop","port":"fw1/mgt"} -> {"frames":N,"bytes":N of the file,"lost":N frames for which there was no room or time}   "no-such-mirror"
 *  Of a process whose role is "block", beside status, stats and quit, the only ones:
 *   {"v":1,"op":"disk-add", DISK, "fds":["image"]} -> {"disk":STATUS of it}   the image, open for reading and writing (or reading), O_DIRECT or not;
 *                                      a description of its own (pmd-backends/block_file.h: locks); "disk-exists", "image-in-use", "image-refused";
 *                                      "disk-busy": one of that name is leaving. Where its file system hangs, the disk is there and "opening"
 *   {"v":1,"op":"disk-remove","disk":"fw1/root"}                       what was under way has ended when this is answered; "no-such-disk"; "disk-busy": I/O has not
 *                                      ended within 200 ms. It is "leaving", serves nobody, and goes by itself; asked again until "no-such-disk"
 *   {"v":1,"op":"disk-resize","disk":"fw1/root"} -> {"size":bytes}     the image has become larger, which its guest is told; "no-such-disk", "image-refused",
 *                                      "disk-busy": it does not answer
 *   {"v":1,"op":"disk-set","disk":"fw1/root","iops":N,"bandwidth":N}   limits from now on; "no-such-disk"
 *   {"v":1,"op":"quit"}              -> {} ; every port let go, then the process exits
 *
 * UPLINK = "name":"nic0", "kind":word of PMD_UPLINK_WORDS,
 *          "device":"0000:04:00.0" (pci, vf: bound to vfio-pci, its group file is ours) | "eth0" (af-packet, af-xdp) | "vtap0" (tap) | "" (null),
 *          "mtu":1500
 * BOND   = "none" (one uplink or none), "active-backup" (first up one of the list carries all), "802.3ad"
 * PORT   = "port":"fw1/mgt", "network":"management", "socket":"/path" (the VMM listens, SOCK_STREAM, vhost-user), "policy":POLICY
 * POLICY = {"mac":"02:..", "macs":["02:.."], "vlan":{"mode":"none|access|trunk|qinq","ids":[100],"proto":"802.1Q|802.1ad","qos":0},
 *           "mtu":1500, "rate":bits per second from the guest and to it (0: none), "min_rate":bits per second,
 *           "trust":"none|multicast|promisc", "spoofchk":bool, "link":"auto|up|down", "uplink_loss":"propagate|keep",
 *           "storm":broadcast and multicast frames per second from the guest (0: none)}
 *
 * DISK   = "disk":"fw1/root", "socket":"/path" (as of a port), "readonly":bool, "serial":"up to 20 characters", "queues":1 to PMD_MAX_QUEUES,
 *          "iops":operations per second (0: no limit), "bandwidth":bytes per second,
 *          "flush_failed":bool (STATUS of a process before said so); all but disk and socket optional
 *
 * STATUS = {"name","pid","dpdk":"22.11.11","uptime_ns",
 *           "lcores":[{"lcore":N,"cpu":N,"busy":0.0-1.0 (of the last second),"cycles_hz":N}],
 *           "uplinks":[{"name","kind","device","driver":"net_e1000_em","mac","mtu","link":bool,"speed":Mb/s,"queues":N,"promisc":bool (takes frames to any address),
 *                      "mac_room":N (addresses beside its own),"macs":["02:.."] (that it took),"note":"last resort: ..."}],
 *           "networks":[{"name","uplinks":[..],"bond","active":"nic0","ports":N}],
 *           "ports":[{"port","network","lcore":N,"state":"waiting|connected|running","pid":N (peer),"queues":N (enabled pairs),
 *                     "features":"0x..","ring":"split|packed","error":"why the peer was dropped or a ring stopped, empty once all is served again","drops":N}]}
 * STATS  = {"ports":[{"port","from_guest":{"packets","bytes"},"to_guest":{"packets","bytes"},
 *                     "drops":{REASON:N...}, "kicks":N,"calls":N,"queues":[{"rx_free":N,"tx_ready":N}]}],
 *           "uplinks":[{"name","rx":{"packets","bytes","drops"},"tx":{"packets","bytes","drops"}}],
 *           "lcores":[{"lcore","busy_cycles","idle_cycles","packets"}]}      counters since the port, uplink or process began
 * STATUS of role block = {"name","pid","uptime_ns","workers":[{"cpu":N,"busy":0.0-1.0 (since the start)}],
 *           "disks":[{"disk","state":word of PMD_DISK_STATE_WORDS,"pid":N (peer),"queues":N (that run),"size":bytes,"block_size":bytes,"readonly":bool,
 *                     "direct":bool (O_DIRECT),"flush_failed":bool (the page cache has lost what was written: each flush fails, for the disk's life),"features":"0x..","error":as of a port,"io_error":"of the last request that failed, or empty"}]}
 * STATS of role block  = {"disks":[{"disk","in_flight":N,"kicks":N,"calls":N,"bad_chains":N,"errors":N (answered with an I/O error),"no_space":N (of these: file
 *                     system full),"reads","writes","flushes","discards","zeroes":N,"read_bytes","written_bytes":N}]}
 * REASON: words of PMD_DROP_WORDS; all of them, 0 or not.
 */
#ifndef VIADUCT_PMD_BACKENDS_PMD_MSG_H
#define VIADUCT_PMD_BACKENDS_PMD_MSG_H

#define PMD_MSG_VERSION 1

#define PMD_MAX_LCORES	    32
#define PMD_MAX_UPLINKS	    32
#define PMD_MAX_NETWORKS    64
#define PMD_MAX_PORTS	    256
#define PMD_MAX_MACS	    16 /* of a port, beside its own */
#define PMD_MAX_UPLINK_MACS 128 /* that one uplink takes beside its own */
#define PMD_MAX_VLANS	    64 /* ids of a trunk */
#define PMD_MAX_PAIRS	    8 /* queue pairs of a port */
#define PMD_MAX_MTU	    9000
#define PMD_MAX_DISKS	    64
#define PMD_MAX_QUEUES	    16 /* of a disk */
#define PMD_SERIAL_TEXT	    21
#define PMD_MAX_IOPS	    10000000
#define PMD_NAME_TEXT	    64
#define PMD_PORT_TEXT	    129 /* "VM/PORT" */
#define PMD_SOCKET_TEXT	    108

/* Bytes of an image that are locked (fcntl(2), F_OFD_SETLK): pmd-backends/block_file.h. */
#define PMD_LOCK_OWNER	     100
#define PMD_LOCK_OWNER_BYTES 200
#define PMD_LOCK_BUSY	     400
#define PMD_LOCK_PROCESS     1024 /* + its pid */

enum pmd_role { PMD_ROLE_NET, PMD_ROLE_BLOCK, PMD_ROLES };
#define PMD_ROLE_WORDS         \
	{                      \
		"net", "block" \
	}

enum pmd_disk_state {
	PMD_DISK_OPENING, /* the image has not answered yet, or is refused: see "error" */
	PMD_DISK_LOCKED, /* another process has the image */
	PMD_DISK_WAITING, /* for its VMM */
	PMD_DISK_CONNECTED,
	PMD_DISK_RUNNING,
	PMD_DISK_LEAVING, /* it was removed, and goes as soon as its I/O has ended */
	PMD_DISK_STATES
};
#define PMD_DISK_STATE_WORDS                                                      \
	{                                                                         \
		"opening", "locked", "waiting", "connected", "running", "leaving" \
	}

/* What an lcore does without packets. */
enum pmd_idle { PMD_IDLE_POLL, PMD_IDLE_ADAPTIVE, PMD_IDLE_INTERRUPT, PMD_IDLES };
#define PMD_IDLE_WORDS                          \
	{                                       \
		"poll", "adaptive", "interrupt" \
	}

enum pmd_uplink_kind {
	PMD_UPLINK_PCI, /* under DPDK's own driver, through VFIO */
	PMD_UPLINK_AF_XDP,
	PMD_UPLINK_AF_PACKET,
	PMD_UPLINK_TAP,
	PMD_UPLINK_NULL, /* swallows all */
	PMD_UPLINK_VF, /* as pci, of a VF that is the daemon's */
	PMD_UPLINK_KINDS
};
#define PMD_UPLINK_WORDS                                          \
	{                                                         \
		"pci", "af-xdp", "af-packet", "tap", "null", "vf" \
	}

enum pmd_bond { PMD_BOND_NONE, PMD_BOND_ACTIVE_BACKUP, PMD_BOND_802_3AD, PMD_BONDS };
#define PMD_BOND_WORDS                             \
	{                                          \
		"none", "active-backup", "802.3ad" \
	}

/* Why a frame went no further. */
enum pmd_drop {
	PMD_DROP_RX_FULL, /* the receiver had no buffer */
	PMD_DROP_SPOOFED, /* a source MAC that is not the port's */
	PMD_DROP_VLAN, /* a tag that the port may not use */
	PMD_DROP_RATE,
	PMD_DROP_STORM,
	PMD_DROP_OVERSIZE,
	PMD_DROP_MALFORMED, /* a descriptor, header or offload request that makes no sense */
	PMD_DROP_LINK_DOWN,
	PMD_DROP_UPLINK_FULL,
	PMD_DROP_NO_MEMORY,
	PMD_DROP_RESERVED, /* to an address that no bridge forwards (01:80:C2:00:00:0x: STP, LACP, LLDP...) */
	PMD_DROPS
};
#define PMD_DROP_WORDS                                                                  \
	{                                                                               \
		"rx-full", "spoofed", "vlan", "rate", "storm", "oversize", "malformed", \
			"link-down", "uplink-full", "no-memory", "reserved"             \
	}

#endif
