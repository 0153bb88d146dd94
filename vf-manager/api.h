/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The API between viaduct (cli/) and viaductd (vf-manager/): HTTP/1.1 with JSON bodies on a Unix
 * socket. This header holds the words both sides share; docs/openapi.yaml describes every path and member.
 *
 * Replies: 200 with the object below, or 4xx/5xx with {"error":{"code","errno","text","hint"}}.
 * 400 bad input, 403 not allowed, 404 no such thing, 409 in use or wrong state, 500 failed, 503 not ready.
 *
 *   GET  /v1/version               {"version","api":1,"pid","uptime_s"}
 *   GET  /v1/host/check            {"checks":[{"id","title","status":"pass|warn|fail","detail","remedy"}],
 *                                   "pass":N,"warn":N,"fail":N,"cpu_family":"..","not_exercised":[..]}
 *   GET  /v1/pfs                   {"pfs":[PF]}
 *   GET  /v1/pfs/{pf}              PF with "vfs":[VF]
 *   GET  /v1/pfs/{pf}/plan?vfs=N   PLAN                     what apply would do; changes nothing
 *   POST /v1/pfs/{pf}/apply        {"vfs":N,"disrupt":["VM","lease:NAME"],"timeout_s":N,"confirm_s":N} -> PF   409 while anybody is hurt who is not named
 *   POST /v1/pfs/{pf}/adopt        -> PF                     takes its foreign VFs in, all or none; each is wiped
 *   POST /v1/pfs/{pf}/confirm      -> PF                     keeps what is on trial (confirm_s)
 *   GET  /v1/vfs                   {"vfs":[VF],"parked":[{"lease","pf","index","identity","why"}]} (leases that wait for their VF)
 *   GET  /v1/vfs/{vf}              VF with "capabilities", "isolation" and "scrub":{"at","clean":bool,"steps":[{"step","ok":bool,"read"|null}]}|null
 *   POST /v1/vfs/alloc             {"name", one of "pf" or "network" (optional), "numa" (optional)} -> VF
 *   POST /v1/vfs/{vf}/set          any of {"mac","vlan","qos","proto","spoofchk","trust","link_state",
 *                                   "min_tx_rate","max_tx_rate"} -> VF (as read back)
 *   POST /v1/vfs/{vf}/release      -> VF
 *   POST /v1/vfs/{vf}/scrub        -> VF                     of a quarantined one: wipe it again
 *   GET  /v1/networks              {"networks":[NETWORK]}
 *   GET  /v1/networks/{network}    NETWORK
 *   GET  /v1/uplinks               {"uplinks":[UPLINK],"backend":BACKEND|null}   polled uplinks, and viaduct-pmd (docs/openapi.yaml)
 *   GET  /v1/uplinks/{uplink}      UPLINK with "backend","rx","tx"
 *   GET  /v1/config                {"path","running":CONFIG,"differences":[DIFFERENCE]}
 *   POST /v1/config/check          {"yaml","file"} -> {"config":CONFIG,"warnings":[".."]}
 *   GET  /v1/functions             {"functions":[FUNCTION]}
 *   GET  /v1/functions/{function}  FUNCTION
 *   POST /v1/functions/{function}/release        -> FUNCTION     of a quarantined one: try again to give it back
 *   POST /v1/vms/check             {"yaml","file","base_dir"} -> {"spec":{..},"warnings":[".."],"plan":[".."]}
 *   POST /v1/vms                   {"yaml","file","base_dir","owner"} -> VM      creates and starts; returns when the vCPUs run
 *   GET  /v1/vms                   {"vms":[VM]}
 *   GET  /v1/vms/{name}            VM
 *   POST /v1/vms/{name}/stop       {"timeout_s":N (30),"kill":bool (true)} -> VM    power button; kill at the deadline
 *   POST /v1/vms/{name}/kill|pause|resume        -> VM
 *   GET  /v1/vms/{name}/console    {"socket":"/run/viaduct/vm/NAME/console.sock"}  SOCK_STREAM, raw bytes
 *   GET  /v1/vms/{name}/stats      STATS                                  exit accounting of a VM that runs
 *
 *   GET  /v1/ports                 {"ports":[PORT]}          of all VMs that run: a VM's port with "vm", "vm_state"
 *   GET  /v1/ports/stats           {"time_ns","ports":[PORT_STATS]} (docs/openapi.yaml)
 *   GET  /v1/vms/{name}/ports[/stats]?port=P     the same of one VM, or of one port of it
 *   POST /v1/vms/{name}/ports/set  {"port", any of "vlan","mode","qos","proto","trust","spoofchk","link","rate","min_rate",
 *                                   "uplink_loss","storm","macs"} -> PORT
 *   POST /v1/iommu/audit           {"vm" (optional)} -> {"verdict","caveat","audits":[AUDIT]} (docs/openapi.yaml)
 *   GET  /v1/events?since=C&limit=N  {"events":[EVENT],"next":C,"oldest":C,"newest":C,"more":bool}   410 cursor-lost
 *        with "Accept: text/event-stream": server-sent events; id is the cursor, Last-Event-ID is honoured
 *   GET  /v1/alarms                {"alarms":[ALARM]}
 *   GET  /metrics                  OpenMetrics text
 *
 * {pf}: PCI address or network device name. {vf}: PCI address, PF#index or lease name. {function}: PCI
 * address, name of a network device or of an NVMe controller.
 * A value that takes root to read and could not be read is the string API_NEEDS_ROOT, never blank.
 *
 * PF = {"address","name" (netdev or nvme controller, null),"kind":"network|nvme|other","vendor":"8086",
 *       "device":"10c9","driver","numa_node":N (-1 none),"iommu_group":N|null,
 *       "link":{"admin_up":bool,"carrier":bool,"speed_mbps":N|null,"mac"}|null,
 *       "sriov":{"total_vfs" (the card's), "max_vfs" (the driver's), "initial_vfs","num_vfs","first_vf_offset","vf_stride","vf_device_id",
 *                "supported_page_sizes","system_page_size","vf_enable","vf_mse","vf_migration_capable",
 *                "ari_capable_hierarchy","vf_bars":[{"index","kind":"mem32|mem64","prefetchable","size"}]},
 *       "capabilities":{"ari":{..}|null,"acs":{..}|null,"ats":..,"pri":..,"pasid":..,"flr":bool},
 *       "trial":{"vfs","former","seconds_left","deadline_at","problem"|null}|null,"vfs_free":N}
 * VF = {"address","pf" (address),"pf_name","index","id":"enp1s0#0","vendor","device","driver"|null,
 *       "iommu_group","numa_node","netdev"|null,
 *       "state":"free|leased|bound|assigned|scrubbing|quarantined|foreign","lease"|null,
 *       "owner":"fw1/wan"|null,"generation":N,
 *       "attributes":{"mac","vlan","qos","proto":"802.1Q|802.1ad","spoofchk","trust","link_state",
 *                     "min_tx_rate","max_tx_rate"}|null     members the driver does not report are null}
 * PLAN = {"pf","name"|null,"from":N,"vfs":N,"steps":[".."],"notes":[".."],"hurt":[{"vf","id","state","vm"|null,"port"|null,
 *         "lease"|null,"how"}],"disrupt":"VM,lease:NAME"|null,"refused":{error}|null}
 * UPLINK = {"name","kind","device","address"|null,"mtu","network"|null,"state":"up|down|failed|absent|unknown","link"|null,"speed_mbps"|null,
 *           "driver"|null,"mac"|null,"note"|null,"queues"|null,"problem"|null,"hint"|null}
 * NETWORK = {"name","polled":bool,"bond","active"|null,"ports":[{"port","engine","vf"|null,"state"}],"problem"|null,"hint"|null,"macs" (of one)|null,
 *            "uplinks":[{"name","kind","pf" (address)|null,"carrier":bool|null,"num_vfs":N,"vfs_free":N,
 *            "problem"|null}],"vfs_free":N}
 * CONFIG = {"group","mac_prefix","apply_pfs_at_start":bool,"audit_after_assign":bool,"dma":"auto|type1|iommufd","uids":{"first","count"},"networks":[{"name","uplinks":[".."]}],
 *           "pfs":[{"name","vfs","drift":"alarm|repair"}],"hugepages":[{"page_size":bytes,"node","count"}],
 *           "file_roots":[".."],"rescan_s":N}
 * DIFFERENCE = {"of":"file" (it is not what runs)|"machine" (it is not what is wanted),"key","wanted","is"|null,"hint"}
 * FUNCTION = {"address","name"|null,"kind","vendor","device","driver"|null,"host_driver"|null,"numa_node","iommu_group"|null,
 *       "state":"host|taken|assigned|returning|quarantined","owner":"fw1/disk0"|null,
 *       "assignable":bool (with take: true),"in_use"|null (what the host does with it),"reason"|null,"remedy"|null}
 * VM = {"name","state":"starting|running|paused|stopping|stopped|failed|unknown","pid"|null,"vcpus",
 *       "memory","ports":[{"name","engine":"vf|polled","wanted":"vf|polled|auto","network"|null,"policy":POLICY|null,"fallback":{"why","at"}|null,"net":{..}|null,"backend":{..}|null,"vf","vf_id","pf","iommu_group","mac"|null,"vlan"|null,
 *                          "bus_mastering":bool,"vectors":N,"interrupts":N (host's count),
 *                          "traps":[{"bar","offset","size","table":bool,"accesses":N}] (registers that no slot covers)}],
 *       "functions":[{"name","address","kind","host_name","host_driver","iommu_group","bus_mastering","vectors","interrupts","traps"}],
 *       "dma_remapping":bool,"dma":"type1|iommufd"|null,"interrupt_remapping":bool,"audit":{"verdict","at","code","text"}|null,"started_at":epoch|null,"uptime_s":N|null,
 *       "start_seconds":N|null (request to first vCPU),"start_steps":[{"step","ns"}],
 *       "console":path,"log":path,"console_log":path,"console_log_old":path,
 *       "answers":bool|null,"life":{"resets":{CAUSE:N},..}|null (LIFE of vmm_msg.h),
 *       "exit":{"reason","text","wall_time","uptime_s"|null,"hint"|null}|null}
 * STATS = {"name","state","time_ns" (CLOCK_MONOTONIC),"uptime_ns",
 *          "kvm":{"vm":{NAME:N},"total":{NAME:N},"vcpus":[{NAME:N}]}|null (NAME: KVM's own),"kvm_absent":why|null,
 *          "returns":{"total":{"io","mmio","hlt","other"},"vcpus":[..]} (of KVM_RUN to the VMM),
 *          "regions":[{"space":"pio|mmio","name","reads","writes"}] (trapped accesses),
 *          "ports":[{"name","vf","bar":{"reads","writes"}|null,"config":{"reads","writes"}|null,
 *                    "interrupts":N (host's count),"vectors":[{"vector","irq","chip","interrupts"}],
 *                    "delivery":"posted|remapped|unknown","delivery_why":text}]}
 * EVENT = {"cursor","at_ms":epoch,"kind":"vf|vm|pf|function|alarm|daemon|backend","object","from"|null,"to"|null,"text"|null}
 * ALARM = {"kind","object","severity":"critical|major|minor","text","hint"|null,"raised_at":epoch,"cursor"}
 */
#ifndef VIADUCT_VF_MANAGER_API_H
#define VIADUCT_VF_MANAGER_API_H

#define API_VERSION    1
#define API_NEEDS_ROOT "needs root"

/* Overridable: --run-dir / VIADUCT_RUN_DIR, --state-dir / VIADUCT_STATE_DIR, --config / VIADUCT_CONFIG. */
#define API_DEFAULT_RUN_DIR   "/run/viaduct"
#define API_DEFAULT_STATE_DIR "/var/lib/viaduct"
#define API_DEFAULT_CONFIG    "/etc/viaduct/viaductd.yaml"
#define API_SOCKET_NAME	      "viaduct.sock" /* below the run dir */

#define API_MAX_BODY (64U << 10)

/* viaductd --oneshot --fd N: serve the API on this connected stream socket, then exit. */
#define API_ONESHOT_FD 3

#endif
