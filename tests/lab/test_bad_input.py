# SPDX-License-Identifier: BSD-3-Clause
"""Bad input gets one clear error, exit 1 or 2, and leaves nothing behind."""

import pathlib
import subprocess

import pytest
from labkit import Guest, cli, cli_json, refused, vfs, vmfile


def leftovers(pf):
    """What a failed start could leave: leases, drivers, processes, files, VMs."""
    return (
        {v["address"]: (v["state"], v["lease"], v["driver"], v["attributes"]) for v in vfs(pf).values()},
        subprocess.run(["pgrep", "-x", "viaduct-vmm"], capture_output=True, text=True).stdout,
        sorted(str(p) for p in pathlib.Path("/run/viaduct").rglob("*")),
        sorted(v["name"] for v in cli_json("vm", "list")["vms"] if v["state"] not in ("stopped", "failed")),
    )


def bad_vm(folder, name, find, replace, ports=()):
    path = vmfile.write(folder, name, ports)
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, replace))
    return str(path)


@pytest.fixture
def not_a_kernel(folder):
    path = folder / "text"
    path.write_text("I am a text, not a kernel.\n" * 1000)
    return path


@pytest.mark.parametrize("find, replace, said", [
    ("memory: {size: 384M}", "memory: {size: 0}", "memory"),
    ("memory: {size: 384M}", "memory: {size: 900T}", "memory"),
    ("memory: {size: 384M}", "memory: {size: 384M, colour: red}", "colour"),
    ("cpus: {count: 1}", "cpus: {count: 0}", "count"),
    ("cpus: {count: 1}", "cpus: {count: 9999}", "count"),
    ("cpus: {count: 1}", "cpus: {count: 1}\nfoo: bar", "foo"),
    ("cpus: {count: 1}", "cpus: {count: 1}\ndisks: [{path: /x.img, cache: never}]", "cache"),
    ("name: bad", "name: ../../etc", "name"),
    ("name: bad", "nom: bad", "nom"),
])
def test_bad_vm_files(pf, folder, find, replace, said):
    before = leftovers(pf)
    path = bad_vm(folder, "bad", find, replace, [f'name: wan, pf: "{pf}"'])
    assert said in refused("vm", "run", path)
    assert said in refused("vm", "check", path)
    assert leftovers(pf) == before


@pytest.mark.parametrize("port, said", [
    ("name: wan, pf: nosuch0", "nosuch0"),
    ("name: wan, network: nosuch", "nosuch"),
    ("name: wan, engine: polled, pf: {pf}", "polled"),
    ("name: wan, vf: '0000:ff:1f.7'", "0000:ff:1f.7"),
    ("name: wan, pf: {pf}, mac: 'ff:ff:ff:ff:ff:ff'", "ff:ff:ff:ff:ff:ff"),
    ("name: wan, pf: {pf}, vlan: {{mode: access, ids: [5000]}}", "vlan"),
    ("name: wan, pf: {pf}, link: down", "igb"),
])
def test_bad_ports(pf, folder, port, said):
    before = leftovers(pf)
    path = str(vmfile.write(folder, "bad", [port.format(pf=pf)]))
    assert said in refused("vm", "run", path)
    assert leftovers(pf) == before


def test_kernel_that_is_no_kernel(pf, folder, not_a_kernel):
    before = leftovers(pf)
    path = str(vmfile.write(folder, "bad", [f'name: wan, pf: "{pf}"'], kernel=not_a_kernel))
    text = refused("vm", "run", path)
    assert "kernel" in text and str(not_a_kernel) in text
    assert leftovers(pf) == before
    missing = str(vmfile.write(folder, "bad", [f'name: wan, pf: "{pf}"'], kernel="/no/such/kernel"))
    assert "/no/such/kernel" in refused("vm", "run", missing)
    assert leftovers(pf) == before


def test_initrd_that_does_not_fit(pf, folder):
    before = leftovers(pf)
    big = folder / "big.cpio"
    with open(big, "wb") as f:
        f.truncate(380 << 20)
    path = str(vmfile.write(folder, "bad", [f'name: wan, pf: "{pf}"'], initrd=big))
    text = refused("vm", "run", path)
    assert "initrd" in text and "fit" in text
    assert leftovers(pf) == before


def test_vf_in_use(pf, folder):
    with Guest(folder, "holder", [f'name: wan, vf: "{pf}#0"']) as guest:
        before = leftovers(pf)
        path = str(vmfile.write(folder, "bad", [f'name: wan, vf: "{pf}#0"']))
        text = refused("vm", "run", path, status=1)
        assert "holder" in text and "try:" in text
        assert leftovers(pf) == before
        assert guest.show()["state"] == "running"


def test_hugepages_that_are_not_there(pf, folder):
    before = leftovers(pf)
    path = bad_vm(folder, "bad", "{size: 384M}", "{size: 384M, hugepages: 2M}", [f'name: wan, pf: "{pf}"'])
    text = refused("vm", "run", path)
    assert "hugepages" in text and "192" in text
    assert leftovers(pf) == before


def test_hugepages_that_are_there(pf, folder):
    pool = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    pool.write_text("200")
    try:
        path = bad_vm(folder, "huge", "{size: 384M}", "{size: 384M, hugepages: 2M}")
        cli("vm", "run", path)
        free = int((pool.parent / "free_hugepages").read_text())
        assert free == int(pool.read_text()) - 192
        cli("vm", "kill", "huge")
    finally:
        pool.write_text("0")


@pytest.mark.parametrize("args, said", [
    (("pf", "show", "nosuch0"), "nosuch0"),
    (("pf", "apply", "nosuch0", "--vfs", "1"), "nosuch0"),
    (("vf", "show", "nosuch0#1"), "nosuch0"),
    (("vm", "show", "nosuch"), "nosuch"),
    (("vm", "stop", "nosuch"), "nosuch"),
    (("vm", "run", "/no/such/file.yaml"), "/no/such/file.yaml"),
    (("vm", "rum", "x"), "run"),
])
def test_unknown_names(daemon, args, said):
    assert said in refused(*args)


def test_more_vfs_than_the_pf_has(pf):
    before = vfs(pf)
    text = refused("pf", "apply", pf, "--vfs", "8")
    assert "7" in text
    assert set(vfs(pf)) == set(before)


def test_foreign_vfs_are_not_touched(daemon, ports, pf, folder):
    """A VF with a host driver in use belongs to somebody else."""
    vf = sorted(vfs(pf))[1]
    override = pathlib.Path(f"/sys/bus/pci/devices/{vf}/driver_override")
    subprocess.run(["modprobe", "igbvf"], check=True)
    override.write_text("igbvf")
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(vf)
    try:
        assert cli_json("vf", "show", vf)["state"] == "foreign"
        path = str(vmfile.write(folder, "bad", [f'name: wan, vf: "{vf}"']))
        assert "igbvf" in refused("vm", "run", path)
        refused("vf", "set", vf, "vlan=7")
    finally:
        pathlib.Path(f"/sys/bus/pci/devices/{vf}/driver/unbind").write_text(vf)
        override.write_text("\n")
    assert cli_json("vf", "show", vf)["state"] == "free"
