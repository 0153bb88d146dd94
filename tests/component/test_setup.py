# SPDX-License-Identifier: BSD-3-Clause
"""scripts/setup: where backports come from, and what it says when it cannot go on."""

import os
import pathlib
import subprocess

import pytest

SETUP = pathlib.Path(__file__).resolve().parents[2] / "scripts/setup"
DEBIAN_12 = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n'


def run(folder, *args, release=DEBIAN_12):
    (folder / "os-release").write_text(release)
    (folder / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        f'Dir::Etc::sourceparts "{folder}/parts";\n')
    (folder / "parts").mkdir(exist_ok=True)
    env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"),
           "VIADUCT_OS_RELEASE": str(folder / "os-release")}
    return subprocess.run([str(SETUP), *args], env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)


def derive(folder, **files):
    (folder / "parts").mkdir(exist_ok=True)
    for name, text in files.items():
        name = {"main": "sources.list", "list": "parts/a.list", "deb822": "parts/b.sources"}[name]
        (folder / name).write_text(text)
    return run(folder, "--print-backports")


def test_one_line(tmp_path):
    done = derive(tmp_path, main="# deb http://no.example bookworm main\n"
                                 "deb-src http://src.example bookworm main\n"
                                 "deb http://sec.example/s bookworm-security main\n"
                                 "deb http://mirror.example/debian bookworm main contrib # ours\n")
    assert done.returncode == 0
    assert done.stdout == ("Types: deb\nURIs: http://mirror.example/debian\n"
                           "Suites: bookworm-backports\nComponents: main\n")


def test_one_line_options(tmp_path):
    done = derive(tmp_path, list="deb [arch=amd64,i386 signed-by=/k.gpg trusted=yes] "
                                 "http://mirror.example/debian bookworm main\n")
    assert "Architectures: amd64 i386\nSigned-By: /k.gpg\nTrusted: yes\n" in done.stdout
    assert "URIs: http://mirror.example/debian\n" in done.stdout


def test_deb822(tmp_path):
    done = derive(tmp_path, deb822="# a comment\nTypes: deb deb-src\n# another\n"
                                   "URIs: https://mirror.example/debian\n"
                                   "Suites: bookworm bookworm-updates\nComponents: main\n"
                                   "Signed-By: /usr/share/keyrings/k.gpg\n\n"
                                   "Types: deb\nURIs: http://second.example\nSuites: bookworm\n"
                                   "Components: main\n")
    assert done.stdout == ("Types: deb\nURIs: https://mirror.example/debian\n"
                           "Suites: bookworm-backports\nComponents: main\n"
                           "Signed-By: /usr/share/keyrings/k.gpg\n")


def test_deb822_key_inside(tmp_path):
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n"
    done = derive(tmp_path, deb822="Types: deb\nURIs: http://m.example\nSuites: bookworm\n"
                                   "Components: main\n" + key)
    assert " .\n mDMEY\n" in done.stdout


@pytest.mark.parametrize("text", [
    "",
    "Types: deb\nEnabled: no\nURIs: http://m.example\nSuites: bookworm\nComponents: main\n",
    "Types: deb\nURIs: http://m.example\nSuites: trixie\nComponents: main\n",
    "Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: contrib\n",
], ids=["empty", "disabled", "other-release", "no-main"])
def test_none_to_derive_from(tmp_path, text):
    done = derive(tmp_path, deb822=text)
    assert (done.returncode, done.stdout) == (4, "")


def test_already_there(tmp_path):
    done = derive(tmp_path, main="deb http://m.example bookworm main\n",
                  deb822="Types: deb\nURIs: http://b.example\nSuites: bookworm-backports\n"
                         "Components: main\n")
    assert (done.returncode, done.stdout) == (3, "")


def test_other_distribution(tmp_path):
    done = run(tmp_path, release='ID=fedora\nPRETTY_NAME="Fedora Linux 40"\n')
    assert done.returncode == 1
    assert "Fedora Linux 40 is not Debian" in done.stderr and "--list" in done.stderr


def test_too_old(tmp_path):
    done = run(tmp_path, release=DEBIAN_12.replace("12", "11"))
    assert done.returncode == 1
    assert "Debian 11 is too old" in done.stderr


def test_check_names_nothing_here(tmp_path):
    done = run(tmp_path, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_option(tmp_path):
    done = run(tmp_path, "--chekc")
    assert done.returncode == 2 and "usage" in done.stderr
