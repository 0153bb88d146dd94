# SPDX-License-Identifier: BSD-3-Clause
"""iommu list, show and group on hardware that the kernel drives: what sysfs, DMAR and the bridges say agrees."""

from labkit import Guest, cli, cli_json

ESSENTIAL = ("unit", "translation", "interrupt-remapping", "unsafe-interrupts", "group", "acs", "firmware-memory")


def test_units_as_firmware_and_kernel_have_them(daemon):
    listed = cli_json("iommu", "list")
    assert listed["kind"] == "VT-d" and [u["name"] for u in listed["units"]] == ["dmar0"]
    assert listed["dmar"]["readable"] and listed["dmar"]["structures"]["DRHD"] == 1
    unit = cli_json("iommu", "show", "dmar0")
    assert unit["address"] == "0xfed90000" and unit["segment"] == 0
    assert (unit["address_bits"], unit["levels"], unit["page_sizes"]) == (48, [3, 4], [1 << 12, 1 << 21, 1 << 30])
    assert "I/O APIC" in {s["type"] for s in unit["scopes"]}
    text = cli("iommu", "show", "dmar0")
    assert "ECAP 0x" in text and "SAGAW" in text


def test_a_vf_is_isolated_and_a_vm_shows_it(daemon, pf, ports, folder):
    with Guest(folder, "iso1", [f'name: wan, pf: "{ports[0]}"']) as guest:
        port = guest.port()
        assert port["posture"]["verdict"] == "isolated" and port["posture"]["unit"] == "dmar0"
        posture = cli_json("iommu", "group", port["vf"])
        checks = {c["id"]: c for c in posture["checks"]}
        assert {checks[i]["status"] for i in ESSENTIAL} == {"pass"}, checks
        assert "as the DMAR table has it" in checks["unit"]["detail"]
        assert "0000:00:02.0" in checks["acs"]["source"]
        # The emulated unit has none; a CPU family that could use them is not the question here.
        assert "posted-interrupts" in posture["warnings"]
        assert "wan: isolated by dmar0" in cli("vm", "show", "iso1")
