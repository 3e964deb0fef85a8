"""What `cmake --install` puts into an empty root works from there, and goes away again."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import TOP, need


@pytest.fixture(scope="module")
def root(place, tmp_path_factory):
    """An empty root with an installation under /opt/sarde."""
    build = pathlib.Path(TOP / "build/release")
    if not (build / "cmake_install.cmake").exists():
        pytest.skip("build/release was not configured by CMake here")
    folder = tmp_path_factory.mktemp("root")
    subprocess.run(["cmake", "--install", build, "--prefix", "/opt/sarde"], env={"PATH": "/usr/bin:/bin", "DESTDIR": str(folder)}, check=True, capture_output=True)
    return folder


def test_the_program_runs_from_where_it_was_installed(place, root, tmp_path):
    for name in ("sarde-executor", "sarde"):
        done = subprocess.run([root / "opt/sarde/bin" / name, "selftest"], env=place.environment | place.store(tmp_path), capture_output=True, text=True)
        assert "ok      libvirt: qemu:///session answers" in done.stdout, (done.stdout, done.stderr)


def test_all_that_belongs_to_it_is_there_and_names_its_place(root):
    prefix = root / "opt/sarde"
    for file in ("share/man/man1/sarde-executor.1", "share/man/man1/sarde.1", "share/man/man5/sarde.toml.5", "share/doc/sarde-executor/LICENSE",
                 "share/doc/sarde-executor/README.md", "share/bash-completion/completions/sarde", "lib/sarde-executor/sarde-libvirt.so", "lib/systemd/system/sarde-gc.timer"):
        assert (prefix / file).exists(), file
    service = (prefix / "lib/systemd/system/sarde-gc.service").read_text()
    assert "ExecStart=/opt/sarde/bin/sarde-executor gc" in service
    config = (prefix / "share/doc/sarde-executor/gitlab-runner/config.toml").read_text()
    assert 'prepare_exec = "/opt/sarde/bin/sarde-executor"' in config and "/usr/local" not in service + config


@pytest.mark.parametrize("where", ["repository", "installation"])
def test_no_link_in_the_documentation_is_dead(root, where):
    top = TOP if where == "repository" else root / "opt/sarde/share/doc/sarde-executor"
    pages = [*top.glob("*.md"), *top.glob("docs/*.md"), *top.glob("gitlab-runner/*.md")]
    assert len(pages) > 10
    dead = [f"{page.name}: {link}" for page in pages for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


def test_rules_for_apparmor_and_selinux_can_be_loaded(root, tmp_path):
    """As far as that can be known without a kernel that enforces them."""
    need(shutil.which("apparmor_parser", path=os.environ["PATH"] + ":/usr/sbin") and os.path.exists("/etc/apparmor.d/usr.bin.passt"), "apparmor or passt is not installed")
    need(shutil.which("checkmodule"), "checkpolicy is not installed")
    rules = root / "opt/sarde/share/doc/sarde-executor/gitlab-runner"
    policy = tmp_path / "apparmor.d"
    shutil.copytree("/etc/apparmor.d", policy)
    (policy / "tunables/home.d").mkdir(exist_ok=True)
    shutil.copy(rules / "apparmor/passt", policy / "tunables/home.d/sarde-executor")
    (policy / "qemu").write_text("abi <abi/3.0>,\ninclude <tunables/global>\nprofile vm {\n" + (rules / "apparmor/qemu").read_text() + "}\n")
    for profile in ("usr.bin.passt", "qemu"):
        subprocess.run(["/usr/sbin/apparmor_parser", "--skip-kernel-load", "--skip-cache", "--base", policy, policy / profile], check=True)
    subprocess.run(["checkmodule", "-M", "-m", "-o", tmp_path / "sarde_executor.mod", rules / "selinux/sarde_executor.te"], check=True)


def test_a_program_that_was_copied_alone_says_what_it_lacks(place, tmp_path):
    shutil.copy(place.program, tmp_path / "sarde-executor")
    told = subprocess.run([tmp_path / "sarde-executor", "selftest"], env=place.environment | place.store(tmp_path), capture_output=True, text=True)
    assert told.returncode == 2 and "copy sarde-libvirt.so too" in told.stdout, told.stdout


def test_uninstall_leaves_nothing(root):
    manifest = (TOP / "build/release/install_manifest.txt").read_text().split("\n")
    for file in manifest:
        if file:
            (root / file.lstrip("/")).unlink()
    left = [path for path in root.rglob("*") if not path.is_dir()]
    assert left == []
