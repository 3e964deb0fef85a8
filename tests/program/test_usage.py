"""The command lines of sardinecake's usage document, typed as they stand there at a terminal; only the registry has another name."""
import os
import pathlib
import pty
import select
import shutil
import subprocess
import time

from conftest import TOP

from test_images import define, undefined  # noqa: F401: a fixture
from test_registries import serve, with_password  # noqa: F401: a fixture

USING = """
export LIBVIRT_DEFAULT_URI=qemu:///system
sarde login registry.example.org
sarde fetch registry.example.org/sardines/debian12:latest
name=$(sarde import registry.example.org/sardines/debian12:latest)
virsh start "$(name)"
"""

PULLING = """
name=$(sarde pull registry.example.org/sardines/debian12:latest)
virsh start "$(name)"
"""

CREATING = """
export LIBVIRT_DEFAULT_URI=qemu:///system
sarde login registry.example.org
sarde export --tag registry.example.org/sardines/debian12:latest debian12
sarde push registry.example.org/sardines/debian12:latest
"""

CONFIGURING = """
sarde list --connect qemu:///system
export SARDE_CONF_FILES=mysarde.ini
sarde list
"""

# The document writes $(name), which runs a command, where it means ${name}.
PRELUDE = 'set -eux -o pipefail\nname() { echo "${name}"; }\n'


def at_a_terminal(script, cwd, env, answers):
    """Runs it under bash with a terminal, answers each prompt once it is there; all that was shown."""
    (cwd / "script").write_text(PRELUDE + script)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve("/bin/bash", ["bash", "script"], env)
    shown, deadline = b"", time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)
            if answers and answers[0][0].encode() in shown[-200:]:
                os.write(terminal, (answers.pop(0)[1] + "\n").encode())
    except OSError:
        pass  # the other end is closed
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, shown.decode()
    return shown.decode()


def test_the_usage_document_works_as_it_is_written(place, serve, tmp_path, undefined):  # noqa: F811
    server = with_password(serve, tmp_path)
    disk = tmp_path / "disk.qcow2"
    shutil.copy(place.guest / "disk.qcow2", disk)
    define(tmp_path, (place.guest / "domain.xml").read_text().replace("file='disk.qcow2'", f"file='{disk}'").replace("sarde-small-guest", "debian12"))
    env = place.environment | server.env | {"PATH": f"{pathlib.Path(place.program).parent}:{os.environ['PATH']}", "SARDE_CONF_FILES": ""}
    del env["SARDE_CONNECT"]

    def typed(text):
        # qemu:///system is root's; an ordinary user's tests have the session's libvirt.
        return text.replace("registry.example.org", server.address) if os.geteuid() == 0 else text.replace("registry.example.org", server.address).replace("qemu:///system", "qemu:///session")

    prompts = [(f"Username for {server.address}: ", "me"), (f"Password for me at {server.address}: ", "secret word")]
    shown = at_a_terminal(typed(CREATING), tmp_path, env, list(prompts))
    assert f"Pushed {server.address}/sardines/debian12:latest" in shown
    shutil.rmtree(server.folder / "oci")
    shown = at_a_terminal(typed(USING), tmp_path, env, list(prompts))
    name = next(line for line in shown.splitlines() if line.startswith("+ virsh start")).split()[-1].strip("'")
    assert name.startswith("sha256:") and f"Domain '{name}' started" in shown
    place_it = typed("virsh --connect qemu:///system destroy '" + name + "'\nvirsh --connect qemu:///system undefine '" + name + "'\n")
    at_a_terminal(place_it, tmp_path, env, [])
    shutil.rmtree(server.folder / "vms")
    shown = at_a_terminal(typed("export LIBVIRT_DEFAULT_URI=qemu:///system" + PULLING), tmp_path, env, [])
    assert f"Domain '{name}' started" in shown
    (tmp_path / "mysarde.ini").write_text("[list]\n" + typed("connect = qemu:///system\n"))
    shown = at_a_terminal(typed(CONFIGURING), tmp_path, env, [])
    assert shown.count("running") == 2


def test_the_restrictions_of_the_document_are_gone(place, tmp_path):
    """Its check for absolute paths in a backing chain fails on a disk that we export all the same."""
    below, disk = tmp_path / "below/base.qcow2", tmp_path / "mydisk.qcow2"
    below.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", below, "8M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, disk], check=True)
    check = r'''disk="mydisk.qcow2"
! qemu-img info --backing-chain "${disk}" \
        | egrep "^backing file:" \
        | sed -e 's|\s*(actual path: .*)||' \
        | grep "/" \
|| (echo "disk image must use relative paths!"; false)
'''
    said = subprocess.run(["bash", "-c", check], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode != 0 and "must use relative paths" in said.stdout
    (tmp_path / "d.xml").write_text(f"<domain type='qemu'><name>x</name><memory>131072</memory><os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>"
                                    f"<driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>")
    place.run("export", "--libvirtconfig", tmp_path / "d.xml", "x", "h.example/vms/x:1", env=place.store(tmp_path))


def test_the_images_recipe_can_be_copied_and_says_first_what_is_missing(tmp_path):
    recipe = shutil.copytree(TOP / "examples/images/debian12", tmp_path / "mine")
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "dirname", "id", "sed", "tr"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    told = subprocess.run([recipe / "build", tmp_path / "out"], env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True)
    assert told.returncode == 1 and "these Debian packages are missing: mmdebstrap fakeroot" in told.stderr and "apt install mmdebstrap" in told.stderr, told.stderr
    assert subprocess.run([recipe / "build"], capture_output=True, text=True).stderr.startswith("build: ")
    # It builds with stand-ins for the two tools that take minutes, from the copy alone.
    (tmp_path / "tools").mkdir()
    for tool in ("mmdebstrap", "fakeroot"):
        (tmp_path / "tools" / tool).write_text(f'#!/bin/sh\nprintf "%s\\n" "{tool} $*" >>{tmp_path}/calls\n')
        (tmp_path / "tools" / tool).chmod(0o755)
    done = subprocess.run([recipe / "build", tmp_path / "out"], env=os.environ | {"PATH": f"{tmp_path}/tools:{os.environ['PATH']}", "PACKAGES": "cmake ninja-build"}, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text()
    assert done.returncode == 0, done.stderr
    assert "openssh-server,sudo,qemu-guest-agent," in calls and ",cmake,ninja-build " in calls and f"{recipe}/bootable-disk" in calls, calls
    assert (tmp_path / "out/domain.xml").exists()
