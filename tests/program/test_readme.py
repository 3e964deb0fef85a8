"""The commands of README.md, typed into a copy of this folder."""
import os
import re
import subprocess

import pytest

from conftest import TOP, need


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy with what has been built, which takes this folder's place in `type_into`: there is nothing to compile again."""
    need(os.geteuid() == 0, "a copy can take this folder's place for root only")
    if not (TOP / "build/release/cmake_install.cmake").exists():
        pytest.skip("build/release was not configured by CMake here")
    folder = tmp_path_factory.mktemp("clone")
    folder.chmod(0o755)
    subprocess.run(["cp", "-a", *[entry for entry in TOP.iterdir() if entry.name not in ("build", ".git")], folder], check=True)
    (folder / "build").mkdir()
    subprocess.run(["cp", "-a", TOP / "build/release", TOP / "build/guest", folder / "build"], check=True)
    return folder


def type_into(clone, text):
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-euc", f'mount --bind "$0" "{TOP}"; cd "{TOP}"\n{text}', clone],
                          capture_output=True, text=True, timeout=1200)


def blocks():
    return re.findall(r"^```sh\n(.*?)^```$", (TOP / "README.md").read_text(), re.M | re.S)


def test_the_quickstart_runs_a_job_and_leaves_the_build_folder_only(clone):
    before = sorted(path for path in clone.rglob("*") if clone / "build" not in path.parents)
    (command,) = [block for block in blocks() if block == "examples/quickstart\n"]
    done = type_into(clone, command)
    assert done.returncode == 0 and "Hello from Linux" in done.stdout and "Job succeeded" in done.stdout, (done.stdout, done.stderr)
    assert sorted(path for path in clone.rglob("*") if clone / "build" not in path.parents) == before


def test_a_script_of_ones_own_runs_on_an_image(clone, place, small_image):
    (command,) = [block for block in blocks() if "my-script.sh" in block]
    (clone / "my-script.sh").write_text("echo answer=$((40+2))\n")
    settings = f"export SARDE_INSECURE_REGISTRIES={place.registry}\n"
    done = type_into(clone, settings + command.replace("registry.example.org/vms/debian12", small_image))
    assert done.returncode == 0 and "answer=42" in done.stdout, (done.stdout, done.stderr)


def test_it_is_built_and_installed_without_a_package(clone, tmp_path):
    (block,) = [block for block in blocks() if "cmake --install" in block]
    lines = block.replace("\\\n", " ").splitlines()
    packages = {word for line in lines if line.startswith("sudo apt-get") for word in line.split("#")[0].split()[3:]}
    tools = subprocess.run(["bash", "-c", ". tests/support/packages.sh; echo ${packages_build[@]} ${packages_run[@]}"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    # ccache is for tests, and libvirt's parts come with libvirt-daemon-system.
    assert {name for name in tools.split() if not name.startswith("libvirt-")} - {"ccache"} <= packages
    build = "\n".join(line for line in lines if line.startswith(("cmake", "sudo cmake"))).replace("sudo ", f"DESTDIR={tmp_path} ")
    done = type_into(clone, build + f"\nDESTDIR={tmp_path} {tmp_path}/usr/local/bin/sarde --version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout.splitlines()[-1]), (done.stdout, done.stderr)
