"""What the whole-program tests share: the program, a guest image, a registry on loopback, a runner that calls the stages."""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "support"))

from fake_runner import FakeRunner  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--program", default=str(TOP / "build/release/sarde-executor"))
    parser.addoption("--guest", default=str(TOP / "build/guest"))
    parser.addoption("--slow", action="store_true", help="the program runs under a sanitizer or valgrind: its time and memory are not judged")


def need(condition, reason):
    """Skips where a tool is missing; a failure where CI says that all must be there."""
    if condition:
        return
    if os.environ.get("SARDE_REQUIRE_ALL") == "1":
        pytest.fail(f"SARDE_REQUIRE_ALL=1, but: {reason}")
    pytest.skip(reason)


def python_tools(requirement, folder=None):
    """The folder of the programs of a package from PyPI, beside Debian's Python modules."""
    venv = TOP / "build" / (folder or requirement.split("=")[0])
    stamp = venv / "installed"
    with open(TOP / "build" / f".{venv.name}.lock", "w") as lock:  # another test file may want it, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists():
            return venv / "bin"
        made = subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", venv], capture_output=True, text=True)
        need(made.returncode == 0, f"no virtual environment can be made: {made.stderr.strip()}")
        # pip gives up by itself where the index cannot be reached; timeout(1) where that hangs
        got = subprocess.run(["timeout", "300", venv / "bin/pip", "install", "--quiet", requirement], capture_output=True, text=True)
        need(got.returncode == 0, f"{requirement} cannot be installed from PyPI: {(got.stderr.strip().splitlines() or ['?'])[-1]}")
        stamp.touch()
    return venv / "bin"


def tools_without_passt(folder):
    """A folder for PATH in which all of Debian's programs are but passt."""
    folder.mkdir()
    for source in ("/usr/bin", "/bin", "/usr/sbin"):
        for tool in pathlib.Path(source).iterdir():
            if tool.name not in ("passt", "passt.avx2") and not (folder / tool.name).exists():
                (folder / tool.name).symlink_to(tool)
    return str(folder)


def run_in_a_namespace(inner, *arguments, resolver=None):
    """Runs one of this folder's inner tests, with a libvirt of its own, in a network namespace of its own, which goes again."""
    need(os.geteuid() == 0 or shutil.which("sudo"), "a network namespace needs root")
    prefix = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=SARDE_REQUIRE_ALL"]
    environment = {k: v for k, v in os.environ.items() if k not in ("PRIVATE_LIBVIRT", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    namespace = f"sarde-{uuid.uuid4().hex[:8]}"  # names are the whole machine's
    answers = pathlib.Path("/etc/netns", namespace)  # ip-netns(8) has its files in place of the host's there
    if resolver:
        answers.mkdir(parents=True)
        (answers / "resolv.conf").write_text(f"nameserver {resolver}\n")
    subprocess.run([*prefix, "ip", "netns", "add", namespace], check=True)
    try:
        done = subprocess.run([*prefix, "ip", "netns", "exec", namespace, TOP / "tests/support/private-libvirt", "/usr/bin/python3", TOP / "tests/program" / inner,
                               *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=600)
        print(done.stdout, done.stderr)
        assert done.returncode == 0
        assert "ALL CHECKED" in done.stdout
    finally:
        subprocess.run([*prefix, "ip", "netns", "delete", namespace], check=True)
        if resolver:
            shutil.rmtree(answers)


class Workplace:
    """Folders of one test session, the program in them, and what it leaves behind."""

    def __init__(self, folder, program, guest, registry):
        self.folder, self.program, self.guest, self.registry = folder, program, pathlib.Path(guest), registry
        for name in ("oci", "vms", "jobs"):
            (folder / name).mkdir(exist_ok=True)
        self.jobs = folder / "jobs"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SARDE_")} | {
            "SARDE_CONF_FILES": str(self.write("sarde.toml", "")), "SARDE_OCIDIR": str(folder / "oci"), "SARDE_VMDIR": str(folder / "vms"),
            "SARDE_JOBSDIR": str(folder / "jobs"), "SARDE_INSECURE_REGISTRIES": registry, "SARDE_CONNECT": "qemu:///session", "SARDE_GUEST_RUNNER": "none", "SARDE_WARM": "off"}

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *arguments, env=None, check=True, **options):
        result = subprocess.run([self.program, *map(str, arguments)], env=self.environment | (env or {}), capture_output=True, text=True, timeout=600, **options)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    def runner(self, config="", **environment):
        """A runner whose driver reads this configuration."""
        path = self.write(f"config-{time.monotonic_ns()}.toml", config)
        return FakeRunner(self.program, self.environment | {"SARDE_CONF_FILES": str(path)} | environment)

    def publish(self, name, domain=None, vmconfig=None, folder=None):
        """Exports the small guest, or a changed one, and pushes it; its reference."""
        folder = pathlib.Path(folder or self.guest)
        reference = f"{self.registry}/vms/{name}"
        self.run("export", "--compression", "fast", "--libvirtconfig", domain or folder / "domain.xml", "--vmconfig", vmconfig or self.guest / "vmconfig.json",
                 name, reference)
        self.run("push", reference)
        return reference

    def changed_guest(self, name, commands):
        """A copy of the guest whose root file system has been changed by debugfs commands."""
        folder = self.folder / f"guest-{name}"
        folder.mkdir()
        shutil.copy(self.guest / "domain.xml", folder)
        raw = folder / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", self.guest / "disk.qcow2", raw], check=True)
        script = folder / "commands"
        script.write_text("\n".join(commands) + "\n")
        subprocess.run(["/sbin/debugfs", "-w", "-f", script, f"{raw}?offset=1048576"], check=True, capture_output=True)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2"], check=True)
        raw.unlink()
        return folder

    def store(self, folder):
        """Variables for commands that keep all they have in that folder."""
        folder.chmod(0o755)
        return {"SARDE_OCIDIR": str(folder / "oci"), "SARDE_VMDIR": str(folder / "vms"), "SARDE_JOBSDIR": str(folder / "jobs")}

    def undefine(self, *names):
        for name in names:
            subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", name], check=True)

    def all_domains(self):
        listed = subprocess.run(["virsh", "-q", "-c", "qemu:///session", "list", "--all", "--name"], capture_output=True, text=True, check=True)
        return listed.stdout.split()

    def domains(self):
        listed = subprocess.run(["virsh", "-q", "-c", "qemu:///session", "list", "--all", "--name"], capture_output=True, text=True, check=True)
        return [name for name in listed.stdout.split() if name.startswith("sarde-")]

    def qemu_pids(self, name="sarde-"):
        found = subprocess.run(["pgrep", "-f", f"qemu-system.*guest={name}"], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def assert_nothing_left(self):
        assert self.domains() == []
        assert list(self.jobs.iterdir()) == []
        deadline = time.monotonic() + 10
        while self.qemu_pids() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.qemu_pids() == []
        assert not list((self.folder / "oci").glob(".sarde-*"))


@pytest.fixture(scope="session")
def place(request):
    for tool in ("skopeo", "qemu-img", "virsh", "docker-registry", "qemu-system-x86_64"):
        need(shutil.which(tool), f"{tool} is not installed")
    guest = pathlib.Path(request.config.getoption("--guest"))
    need((guest / "disk.qcow2").exists(), f"the small guest is not built (tests/guest/build {guest})")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sarde-program-", dir="/tmp"))
    folder.chmod(0o755)
    registry = subprocess.Popen([TOP / "tests/support/loopback-registry", folder / "registry"])
    address = folder / "registry" / "address"
    for _ in range(200):
        if address.exists():
            break
        time.sleep(0.05)
    yield Workplace(folder, request.config.getoption("--program"), guest, address.read_text().strip())
    registry.terminate()
    registry.wait()
    shutil.rmtree(folder)


@pytest.fixture
def full_speed(request):
    """For tests that measure the program's time or memory."""
    if request.config.getoption("--slow"):
        pytest.skip("--slow: a sanitizer's own time and memory would be measured")


@pytest.fixture(scope="session")
def small_image(place):
    return place.publish("small")
