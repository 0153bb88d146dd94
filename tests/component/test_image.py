# SPDX-License-Identifier: BSD-3-Clause
"""viaduct image import, create and info, on images that the real qemu-img made, and on those that somebody has made worse."""

import fcntl
import json
import os
import pathlib
import pty
import shutil
import signal
import struct
import subprocess

import daemonkit
import pytest
from test_vm_disks import host  # noqa: F401

F_OFD_SETLK = 37
LOCK_OWNER, LOCK_OWNER_BYTES, LOCK_BUSY = 100, 200, 400  # pmd-backends/pmd_msg.h
SIZE = 8 << 20
FORMATS = ("qcow2", "vmdk", "vhdx", "vdi", "vpc")


def namespaces_there():
    return subprocess.run(["unshare", "-Urmpf", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not namespaces_there(), reason="this kernel gives this user no namespaces")


def qemu(*words):
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def run(program):
    """run("import", ...) -> the finished process of `viaduct image import ...`."""

    def call(*words, env=(), cwd=None, wrap=()):
        return subprocess.run([*wrap, program("viaduct"), "image", *map(str, words)], capture_output=True, text=True, cwd=cwd,
                              env={**os.environ, **dict(env)}, stdin=subprocess.DEVNULL, timeout=daemonkit.PATIENCE_S, check=False)

    return call


@pytest.fixture
def disk(tmp_path):
    """A raw disk: a few things at both ends and nothing between."""
    path = tmp_path / "disk.raw"
    with open(path, "wb") as f:
        f.write(b"the first sector\n" * 1000)
        f.seek(SIZE - 4096)
        f.write(os.urandom(4096))
    return path


@pytest.fixture
def out(tmp_path):
    """A folder for what is made; what a case leaves in it must have been asked for."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def code_of(done):
    assert done.returncode != 0, done.stdout
    assert "Sanitizer" not in done.stderr, done.stderr
    return json.loads(done.stderr)["error"]["code"]


def refused(run, out, *words, **how):
    """The error's code, and nothing is left behind."""
    done = run("import", *words, "--to", out / "new.raw", "--json", **how)
    assert list(out.iterdir()) == []
    return code_of(done)


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_becomes_the_disk_that_it_was(run, disk, out, kind):
    image = disk.with_suffix("." + kind)
    qemu("convert", "-f", "raw", "-O", kind, *(("-o", "force_size=on") if kind == "vpc" else ()), disk, image)
    done = run("import", image, "--to", out / "new.raw", "--verify", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["image"]
    assert (made["format"], made["size"], made["verified"]) == ("raw", SIZE, True)
    assert made["from"]["format"] == kind
    assert (out / "new.raw").read_bytes() == disk.read_bytes()
    assert made["allocated"] < SIZE / 4 and (out / "new.raw").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in out.iterdir()] == ["new.raw"]


@pytest.mark.parametrize("options", [("vmdk", "subformat=streamOptimized"), ("qcow2", "compat=0.10"), ("qcow2", "compression_type=zstd"),
                                     ("vpc", "subformat=fixed,force_size=on"), ("vdi", "static=on")])
def test_the_forms_in_which_images_are_handed_out(run, disk, out, options):
    kind, form = options
    image = disk.with_suffix("." + kind)
    qemu("convert", *(("-c",) if "zstd" in form else ()), "-f", "raw", "-O", kind, "-o", form, disk, image)
    done = run("import", image, "--to", out / "new.raw")
    assert done.returncode == 0, done.stderr
    assert (out / "new.raw").read_bytes() == disk.read_bytes()
    assert f"which is {kind}" in done.stdout


def test_the_name_is_that_of_the_image_and_nothing_is_overwritten(run, disk):
    image = disk.parent / "guest.v1.qcow2"
    qemu("convert", "-f", "raw", "-O", "qcow2", disk, image)
    assert run("import", image.name, cwd=disk.parent).returncode == 0
    made = disk.parent / "guest.v1.raw"
    assert made.read_bytes() == disk.read_bytes()
    made.write_bytes(b"kept")
    assert code_of(run("import", image, "--json")) == "image-exists"
    assert made.read_bytes() == b"kept"


def test_a_disk_can_become_larger_and_never_smaller(run, disk, out):
    image = disk.with_suffix(".qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", disk, image)
    assert refused(run, out, image, "--size", "4M") == "image-too-large"
    assert refused(run, out, image, "--size", "8388609") == "usage"
    done = run("import", image, "--to", out / "new.raw", "--size", "12M", "--preallocate", "--verify")
    assert done.returncode == 0, done.stderr
    data = (out / "new.raw").read_bytes()
    assert data[:SIZE] == disk.read_bytes() and data[SIZE:] == bytes(4 << 20)
    assert (out / "new.raw").stat().st_blocks * 512 >= 12 << 20


def test_raw_bytes_that_pretend_are_what_the_operator_says(run, disk, out):
    """A guest can write any first sector: taken as raw, its bytes are nobody's instructions."""
    evil = disk.parent / "evil"
    qemu("create", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", evil, SIZE)
    assert refused(run, out, evil) == "image-names-files"
    done = run("import", evil, "--format", "raw", "--to", out / "new.raw")
    assert done.returncode == 0, done.stderr
    made = (out / "new.raw").read_bytes()
    assert made.startswith(b"QFI\xfb") and made[:evil.stat().st_size] == evil.read_bytes()


def naming(folder, what):
    """An image that names another file."""
    image = folder / what
    if what == "backing":
        qemu("create", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", image, SIZE)
    elif what == "json":
        qemu("create", "-f", "qcow2", "-u", "-b", 'json:{"driver":"file","filename":"/etc/shadow"}', "-F", "raw", image, SIZE)
    elif what == "data-file":
        qemu("create", "-f", "qcow2", "-o", f"data_file={folder / 'data'},data_file_raw=on", image, SIZE)
    elif what == "flat":
        qemu("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", image, SIZE)
    elif what == "split":
        qemu("create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", image, SIZE)
    else:
        embedded_descriptor(image, what)
    return image


def embedded_descriptor(image, what):
    """A sparse extent whose descriptor is looked at: another file as its extent, or as its parent."""
    qemu("create", "-f", "vmdk", image, SIZE)
    data = bytearray(image.read_bytes())
    if what == "capacity-0":
        data[12:20] = bytes(8)
        text = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n'
    else:
        text = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=00000002\nparentFileNameHint="/etc/shadow"\ncreateType="monolithicSparse"\nRW 16384 SPARSE "x"\n'
    at = struct.unpack_from("<Q", data, 28)[0] * 512
    length = struct.unpack_from("<Q", data, 36)[0] * 512
    data[at:at + length] = text.ljust(length, b"\0")
    image.write_bytes(data)


@pytest.mark.parametrize("what", ["backing", "json", "data-file", "flat", "split", "capacity-0", "parent"])
def test_an_image_that_names_other_files_is_refused(run, tmp_path, out, what):
    assert refused(run, out, naming(tmp_path, what)) == "image-names-files"


def patched(disk, kind, at, value):
    image = disk.with_suffix("." + kind)
    qemu("convert", "-f", "raw", "-O", kind, disk, image)
    data = bytearray(image.read_bytes())
    data[at:at + len(value)] = value
    image.write_bytes(data)
    return image


@pytest.mark.parametrize("at, value, code", [
    (36, b"\x7f\xff\xff\xff", "image-broken"),  # entries of the L1 table
    (40, b"\x7f" * 8, "image-broken"),  # where it is
    (24, b"\x00\x00\x40\x00" + bytes(4), "image-broken"),  # a disk of 64 TiB for which the L1 table is too small
    (20, b"\x00\x00\x00\xff", "image-broken"),  # bits of a cluster
    (32, b"\x00\x00\x00\x01", "image-encrypted"),
    (79, b"\x02", "image-broken"),  # marked as corrupt
    (79, b"\x80", "image-broken"),  # a feature that nobody knows
    (4, b"\x00\x00\x00\x07", "image-format"),
])
def test_a_qcow2_with_a_header_that_lies_is_refused(run, disk, out, at, value, code):
    assert refused(run, out, patched(disk, "qcow2", at, value)) == code


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vhdx"])
def test_an_image_that_was_cut_short_is_refused_not_filled_with_zeroes(run, disk, out, kind):
    image = disk.with_suffix("." + kind)
    qemu("convert", "-f", "raw", "-O", kind, disk, image)
    whole = image.read_bytes()
    for length in (60, 1000, len(whole) // 2):
        image.write_bytes(whole[:length])
        assert refused(run, out, image) == "image-broken"


def test_a_disk_without_end_is_refused(run, tmp_path, out):
    image = tmp_path / "large.qcow2"
    qemu("create", "-f", "qcow2", "-o", "cluster_size=2M", image, "32T")
    assert image.stat().st_size < 10 << 20
    assert refused(run, out, image) == "image-too-large"


def test_what_is_no_file_is_refused_and_never_waited_for(run, tmp_path, out):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    (tmp_path / "through").symlink_to(tmp_path)
    (tmp_path / "there").write_bytes(b"x")
    assert refused(run, out, tmp_path / "link") == "symlink"
    assert refused(run, out, tmp_path / "through" / "there") == "symlink"
    for name in ("fifo", "folder", "absent"):
        done = run("import", tmp_path / name, "--to", out / "new.raw")
        assert done.returncode == 1 and name in done.stderr
    assert run("import", "/dev/null", "--to", out / "new.raw").returncode == 1
    (tmp_path / "empty").touch()
    assert refused(run, out, tmp_path / "empty") == "image-broken"
    assert list(out.iterdir()) == []


def test_archives_are_named_with_the_way_out(run, disk, out):
    packed = shutil.make_archive(str(disk.parent / "guest"), "tar", disk.parent, disk.name)
    done = run("import", packed, "--to", out / "new.raw")
    assert done.returncode == 1 and "tar archive" in done.stderr and "tar xf" in done.stderr
    subprocess.run(["xz", "-k", disk], check=True)
    done = run("import", f"{disk}.xz", "--to", out / "new.raw")
    assert done.returncode == 1 and "unxz" in done.stderr


def test_a_format_that_it_is_not_is_refused(run, disk, out):
    image = disk.with_suffix(".qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", disk, image)
    assert refused(run, out, image, "--format", "vhdx") == "image-format"
    assert refused(run, out, image, "--format", "luks") == "usage"
    assert refused(run, out, disk, "--format", "qcow2") == "image-format"


def test_without_qemu_img_the_package_is_named(run, disk, out):
    done = run("import", disk, "--to", out / "new.raw", env={"VIADUCT_QEMU_IMG": "/usr/bin/no-such-program"})
    assert done.returncode == 1 and "apt install qemu-utils" in done.stderr
    assert list(out.iterdir()) == []


def test_a_file_system_without_room(program, disk, out):
    """A tmpfs of 4 MiB, in a mount namespace of this case's own."""
    image = disk.with_suffix(".qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", disk, image)
    script = ('mount -t tmpfs -o size=4m none "$1" && { "$0" image import "$2" --to "$1/a.raw" --json; "$0" image create "$1/b.raw" 6M --preallocate --json; '
              '"$0" image create "$1/c.raw" 6M >/dev/null; ls -A "$1" >&2; }')
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script, program("viaduct"), out, image], capture_output=True, text=True,
                          timeout=daemonkit.PATIENCE_S, check=False)
    assert "image-too-large" in done.stderr and "image-no-space" in done.stderr, done.stderr
    assert done.stderr.splitlines()[-1] == "c.raw", done.stderr


def convert_pid(parent):
    """The qemu-img that this viaduct has started, once it converts."""
    try:
        for pid in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if b"convert" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    except FileNotFoundError:
        pass  # one of them has ended
    return None


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_interrupted_leaves_nothing(program, tmp_path, out, sig):
    raw, image = tmp_path / "large.raw", tmp_path / "large.qcow2"
    with open(raw, "wb") as f:
        for n in range(256):
            f.write(struct.pack("<I", n + 1) * (1 << 18))
    qemu("convert", "-c", "-f", "raw", "-O", "qcow2", raw, image)
    raw.unlink()
    main, side = pty.openpty()
    with subprocess.Popen([program("viaduct"), "image", "import", image, "--to", out / "new.raw"], stderr=side) as proc:
        daemonkit.eventually(lambda: convert_pid(proc.pid) or proc.poll() is not None)
        pid = convert_pid(proc.pid)
        assert pid is not None, "it was too quick for this case"
        os.kill(pid, signal.SIGSTOP)
        proc.send_signal(sig)
        assert proc.wait(daemonkit.PATIENCE_S) == (-sig if sig == signal.SIGKILL else 1)
    os.close(side)
    os.close(main)
    assert list(out.iterdir()) == []
    daemonkit.eventually(lambda: not pathlib.Path(f"/proc/{pid}").exists())


def test_it_says_how_far_it_is(program, disk, out):
    image = disk.with_suffix(".qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", disk, image)
    main, side = pty.openpty()
    done = subprocess.run([program("viaduct"), "image", "import", image, "--to", out / "new.raw", "--verify"], stderr=side,
                          timeout=daemonkit.PATIENCE_S, check=False)
    os.close(side)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert done.returncode == 0 and "converting ... 100 %" in shown and "comparing ... " in shown
    assert shown.endswith("\r\x1b[K")


def test_create_makes_an_empty_disk(run, out):
    done = run("create", out / "a.raw", "64M", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == {"path": str(out / "a.raw"), "format": "raw", "size": 64 << 20, "allocated": 0}
    assert run("create", out / "b.raw", "1M", "--preallocate").returncode == 0
    assert (out / "b.raw").stat().st_blocks * 512 >= 1 << 20
    assert code_of(run("create", out / "a.raw", "64M", "--json")) == "image-exists"
    for size in ("0", "1000", "many", "999T", "-1"):
        assert run("create", out / "c.raw", "--", size).returncode == 2
    assert run("create", out / "absent" / "c.raw", "1M").returncode == 1
    assert sorted(p.name for p in out.iterdir()) == ["a.raw", "b.raw"]


@pytest.mark.parametrize("kind", ("raw", *FORMATS))
def test_info_says_what_an_image_is(run, disk, kind):
    image = disk.with_suffix("." + kind)
    if kind != "raw":
        qemu("convert", "-f", "raw", "-O", kind, *(("-o", "force_size=on") if kind == "vpc" else ()), disk, image)
    done = run("info", image, "--json")
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)["image"]
    assert (info["format"], info["virtual_size"], info["size"]) == (kind, SIZE, image.stat().st_size)
    assert info["allocated"] == image.stat().st_blocks * 512
    assert info["use"] == "no" and "unfit" not in info


def test_info_says_why_an_image_would_not_be_taken(run, tmp_path):
    done = run("info", naming(tmp_path, "backing"))
    assert done.returncode == 0 and "backing file" in done.stdout and "8 MiB" in done.stdout, done.stderr


def test_an_image_that_a_vm_writes_to_is_not_copied(run, disk, out):
    with open(disk, "r+b") as owner:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, LOCK_OWNER, LOCK_OWNER_BYTES, 0)
        fcntl.fcntl(owner, F_OFD_SETLK, lock)
        assert json.loads(run("info", disk, "--json").stdout)["image"]["use"] == "written"
        assert refused(run, out, disk) == "image-in-use"
    assert json.loads(run("info", disk, "--json").stdout)["image"]["use"] == "no"
    with open(disk, "rb") as reader:
        fcntl.fcntl(reader, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, LOCK_OWNER, LOCK_OWNER_BYTES, 0))
        assert json.loads(run("info", disk, "--json").stdout)["image"]["use"] == "read"
        assert run("import", disk, "--to", out / "new.raw").returncode == 0


def test_an_image_whose_vm_has_gone_is_not_copied_before_its_last_write_is_done(run, disk, out):
    with open(disk, "r+b") as backend:
        fcntl.fcntl(backend, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, LOCK_BUSY, 1, 0))
        assert json.loads(run("info", disk, "--json").stdout)["image"]["use"] == "ending"
        assert "still under way" in run("info", disk).stdout
        assert refused(run, out, disk) == "image-in-use"
    assert run("import", disk, "--to", out / "new.raw").returncode == 0


def test_info_says_which_vm_has_an_image(host):  # noqa: F811
    image = host.image()
    said = host.daemon.cli("image", "info", image)
    assert "no" in said.stdout and "vm1" not in said.stdout, said.stderr
    host.ok("vm1", f"  - {{path: {image}, name: root}}\n")
    said = json.loads(host.daemon.cli("image", "info", image, "--json").stdout)["image"]
    assert said["use"] == "written" and said["disks"] == ["vm1/root"]
    done = host.daemon.cli("image", "import", image, "--to", host.folder / "copy.raw")
    assert done.returncode == 1 and "image info" in done.stderr
    host.kill_all()
    assert daemonkit.eventually(lambda: json.loads(host.daemon.cli("image", "info", image, "--json").stdout)["image"]["use"] == "no")
