# SPDX-License-Identifier: BSD-3-Clause
"""iommu list, show, group: on a host made of files, every way in which a function is not isolated."""

import json
import shutil

import daemonkit
import iommukit
import pytest

PF = daemonkit.MACHINE


@pytest.fixture
def sysfs(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    iommukit.setup(sysfs, PF)
    return sysfs


def posture(daemon):
    status, reply = daemon.request("GET", f"/v1/iommu/functions/{PF}")
    assert status == 200, reply
    return reply, {c["id"]: c for c in reply["checks"]}


def test_an_isolated_function(sysfs, stopped_daemon):
    daemon = stopped_daemon.start()
    reply, checks = posture(daemon)
    assert (reply["verdict"], reply["code"], reply["unit"], reply["group"]) == ("isolated", None, "dmar0", 7)
    assert {i for i, c in checks.items() if c["status"] != "pass"} == set()
    assert "0xfed90000, as the DMAR table has it (offset 0x30)" in checks["unit"]["detail"]
    assert checks["address-width"]["detail"].startswith("48 bits")
    assert checks["cpu"]["detail"] == "VT-x with EPT, with VPID, with posted interrupts"
    assert all(c["source"] for c in checks.values())
    done = daemon.cli("iommu", "group", PF)
    assert done.returncode == 0 and f"{PF}: isolated" in done.stdout


def test_units(sysfs, stopped_daemon):
    iommukit.dmar_set(sysfs, iommukit.dmar(
        iommukit.drhd(scopes=iommukit.scope(3, 0xF0, (0x1F, 0))),
        iommukit.rmrr(0x7A000000, 0x7A000FFF, iommukit.scope(1, 0, (0x14, 0)))))
    daemon = stopped_daemon.start()
    done = daemon.cli("iommu", "list")
    assert "dmar0" in done.stdout and "0xfed90000" in done.stdout and "4 KiB, 2 MiB" in done.stdout
    unit = json.loads(daemon.cli("iommu", "show", "dmar0", "--json").stdout)
    cap = {f["name"]: f["value"] for f in unit["registers"][1]["fields"]}
    assert unit["registers"][1]["value"] == f"0x{iommukit.CAP:x}" and (cap["PI"], cap["MGAW"]) == (1, 47)
    assert unit["include_pci_all"] and unit["scopes"][0]["path"] == "f0:1f.0"
    assert unit["reserved_memory"][0]["first"] == "0x7a000000" and PF in unit["members"]
    text = daemon.cli("iommu", "show", "dmar0").stdout
    assert "posted interrupts" in text and "0x7a000fff" in text
    done = daemon.cli("iommu", "show", "dmar9")
    assert done.returncode == 1 and "iommu list" in done.stderr


def no_iommu(sysfs):
    (sysfs / "bus/pci/devices" / PF / "iommu").unlink()
    (sysfs / "bus/pci/devices" / PF / "iommu_group").unlink()


def two_in_a_group(sysfs):
    daemonkit.pf_make(sysfs, "0000:01:00.1")
    iommukit.group_set(sysfs, "0000:01:00.1", 7)


def without_acs(sysfs):
    (sysfs / "bus/pci/devices" / iommukit.PORT / "config").write_bytes(iommukit.port_config(0x01))
    two_in_a_group(sysfs)


def firmware_memory(sysfs):
    """Two hops: the root port, then the function behind it."""
    iommukit.dmar_set(sysfs, iommukit.dmar(iommukit.drhd(), iommukit.rmrr(
        0x8B800000, 0x8FFFFFFF, iommukit.scope(1, 0, (0x1C, 0), (0, 0)))))


def unsafe(sysfs):
    iommukit.interrupts_set(sysfs, False)
    iommukit.unsafe_set(sysfs)


BAD = {
    "no-iommu": (no_iommu, "unit", "no remapping unit"),
    "no-interrupt-remapping": (lambda s: iommukit.interrupts_set(s, False), "interrupt-remapping", "forge"),
    "group-shared": (two_in_a_group, "group", "0000:01:00.1"),
    "firmware-memory": (firmware_memory, "firmware-memory", "0x8b800000-0x8fffffff"),
    "unsafe-interrupts": (unsafe, "unsafe-interrupts", "set"),
    "acs-missing": (without_acs, "acs", f"{iommukit.PORT} lacks ReqRedir CmpltRedir UpstreamFwd"),
    "unit-mismatch": (lambda s: iommukit.dmar_set(s, iommukit.dmar(iommukit.drhd(0xFED91000))), "unit", "0xfed91000"),
}


@pytest.mark.parametrize("code", BAD)
def test_a_function_that_is_not_isolated(sysfs, stopped_daemon, code):
    change, check, words = BAD[code]
    change(sysfs)
    daemon = stopped_daemon.start()
    reply, checks = posture(daemon)
    assert reply["verdict"] == "not-isolated"
    assert (checks[check]["status"], checks[check]["code"]) == ("fail", code)
    assert words in checks[check]["detail"]
    done = daemon.cli("iommu", "group", PF)
    assert done.returncode == 1 and f"viaduct explain {code}" in done.stdout
    done = daemon.cli("explain", code)
    assert done.returncode == 0 and "evidence: " in done.stdout and "try: " in done.stdout


# What a start of a VM with the function says. ACS and the two names of a unit show in the group, or are evidence only.
REFUSED = [c for c in BAD if c not in ("acs-missing", "unit-mismatch")]


def run(daemon, folder, *options):
    (folder / "vm.yaml").write_text(daemonkit.vm_yaml(folder, extra=f'functions: [{{name: nic, address: "{PF}", take: true}}]\n'))
    return daemon.cli("vm", "run", folder / "vm.yaml", "--json", *options)


@pytest.mark.parametrize("code", REFUSED)
def test_a_start_is_refused_with_its_code(sysfs, stopped_daemon, short_tmp, code):
    if code == "no-iommu":
        shutil.rmtree(sysfs / "kernel/iommu_groups")
    BAD[code][0](sysfs)
    daemon = stopped_daemon.start()
    for options in ((), ("--dry-run",)):
        done = run(daemon, short_tmp, *options)
        error = json.loads(done.stderr)["error"]
        assert done.returncode == 1 and error["code"] == code and error["hint"], error
    assert daemon.request("GET", "/v1/vms")[1]["vms"] == []


def test_the_operators_word_is_no_more_than_half(sysfs, stopped_daemon, short_tmp):
    """The kernel's parameter is the other half; and where interrupts are isolated the word has no effect."""
    iommukit.interrupts_set(sysfs, False)
    daemon = stopped_daemon.start()
    done = run(daemon, short_tmp, "--allow-unsafe-interrupts", "old box")
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "unsafe-not-set" and "never sets" in error["text"]
    iommukit.unsafe_set(sysfs)
    # Past that check, at the next: a function made of files has no reset.
    assert json.loads(run(daemon, short_tmp, "--allow-unsafe-interrupts", "old box").stderr)["error"]["code"] == "no-reset"
    assert json.loads(run(daemon, short_tmp, "--allow-unsafe-interrupts", "").stderr)["error"]["text"].endswith("is missing")
    (sysfs / "bus/pci/devices" / PF / "reset").touch()
    (sysfs / "bus/pci/devices" / PF / "reset_method").write_text("flr\n")
    (sysfs / "bus/pci/devices" / PF / "config").write_bytes(iommukit.msi_config())
    done = daemon.cli("vm", "run", short_tmp / "vm.yaml", "--dry-run", "--allow-unsafe-interrupts", "old box")
    assert done.returncode == 0 and "can send any interrupt to the host" in done.stdout, done
    iommukit.interrupts_set(sysfs, True)
    done = daemon.cli("vm", "run", short_tmp / "vm.yaml", "--dry-run", "--allow-unsafe-interrupts", "old box")
    assert done.returncode == 0 and "is not needed" in done.stdout, done


def test_memory_kept_for_a_pf_is_not_its_vfs(sysfs, stopped_daemon, short_tmp):
    """Servers have RMRRs on their network ports; the kernel maps them for the PF alone."""
    firmware_memory(sysfs)
    daemonkit.vf_make(sysfs, PF, 0)
    (sysfs / "bus/pci/devices" / PF / "sriov_numvfs").write_text("1\n")
    vf = daemonkit.vf_address(PF, 0)
    iommukit.group_set(sysfs, vf, 8)
    daemon = stopped_daemon.start()
    checks = {c["id"]: c for c in daemon.request("GET", f"/v1/iommu/functions/{vf}")[1]["checks"]}
    assert (checks["firmware-memory"]["status"], checks["firmware-memory"]["code"]) == ("warn", None)
    assert "for its PF, not for it" in checks["firmware-memory"]["detail"]
    (short_tmp / "vm.yaml").write_text(daemonkit.vm_yaml(short_tmp, extra=f'ports: [{{name: wan, vf: "{vf}"}}]\n'))
    assert "firmware-memory" not in daemon.cli("vm", "run", short_tmp / "vm.yaml", "--dry-run", "--json").stderr


def test_host_check_says_what_is_not_isolated(sysfs, stopped_daemon):
    without_acs(sysfs)
    daemon = stopped_daemon.start()
    rows = {c["id"]: c for c in daemon.request("GET", "/v1/host/check")[1]["checks"]}
    assert rows["isolation"]["status"] == "warn" and f"{PF} is not-isolated (group-shared)" in rows["isolation"]["detail"]
    assert rows["iommu-units"]["detail"] == "dmar0: 48 bits, posted interrupts, snoop control"
    assert rows["virtualization"]["detail"].startswith("VT-x with EPT")


def test_host_check_says_through_what_vms_get_their_dma(sysfs, stopped_daemon):
    def row(config):
        stopped_daemon.config.write_text(config)
        daemon = stopped_daemon.start()
        _, reply = daemon.request("GET", "/v1/host/check")
        assert daemon.request("GET", "/v1/config")[1]["running"]["dma"] == (config.split()[1] if config else "auto")
        daemon.stop()
        return next((c["status"], c["detail"], c["remedy"]) for c in reply["checks"] if c["id"] == "dma")

    assert row("") == ("pass", "type1 (dma: auto): there is no /dev/iommu", "")
    status, detail, remedy = row("dma: iommufd\n")
    assert status == "fail" and detail.startswith("type1 (dma: iommufd): there is no /dev/iommu") and "dma: auto" in remedy
    (sysfs.parent.parent / "dev/iommu").touch()
    assert row("")[1].startswith("iommufd (dma: auto): the kernel has iommufd; whether it makes VFIO device files")
    assert row("dma: type1\n") == ("pass", "type1 (dma: type1): the configuration says so", "")


def test_what_cannot_be_read_is_not_isolated(sysfs, stopped_daemon):
    (sysfs / "bus/pci/devices" / iommukit.PORT / "config").write_bytes(iommukit.port_config()[:64])
    iommukit.dmar_set(sysfs, b"DMAR" + bytes(44))
    (sysfs.parent / "proc/interrupts").unlink()
    daemon = stopped_daemon.start()
    reply, checks = posture(daemon)
    assert reply["verdict"] == "not-known"
    assert checks["interrupt-remapping"]["status"] == "unknown"
    assert "malformed at offset" in checks["firmware-memory"]["detail"]
    assert checks["unit"]["status"] == "unknown" and "malformed at offset" in checks["unit"]["detail"]


def test_a_port_that_the_kernel_trusts_without_acs(sysfs, stopped_daemon):
    (sysfs / "bus/pci/devices" / iommukit.PORT / "config").write_bytes(iommukit.port_config(None))
    daemon = stopped_daemon.start()
    reply, checks = posture(daemon)
    assert (reply["verdict"], reply["warnings"]) == ("isolated", ["acs"])
    assert "has no ACS" in checks["acs"]["detail"]
