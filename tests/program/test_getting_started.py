"""docs/getting-started.md, typed as it stands there into a bare Debian 12: a root with the package, and a libvirt of its own in it. What
needs a GitLab is left out, and there is no systemd that would start libvirt."""
import platform
import re
import subprocess

import pytest

from conftest import TOP

from test_package import debian12, package, run  # noqa: F401: fixtures


def blocks(heading):
    """The blocks of shell below this heading of the page, one after the other."""
    page = (TOP / "docs/getting-started.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)


# A chroot would not do: passt makes a user namespace of its own, which the kernel does not allow there.
ENTER = """
mount --rbind "$0" "$0"; cd "$0"; mkdir -p mnt/before; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs tmpfs run
pivot_root . mnt/before; umount --lazy /mnt/before; echo ready; exec sleep infinity
"""


class Host:
    """The root as a machine of its own, as far as files go, and somebody who types into it."""

    def __init__(self, root, registry):
        self.registry = registry
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "bash", "-euc", ENTER, root], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"

    def type(self, text, user="root"):
        text = text.replace("registry.example.org", self.registry)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root" if user == "root" else f"/home/{user}", "USER": user, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(["nsenter", f"--target={self.holder.pid}", "--mount", "--", "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "bash", "-euo", "pipefail", "-c", text],
                              env=environment, capture_output=True, text=True, timeout=900)
        print(text, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def leave(self):
        self.holder.kill()
        self.holder.wait()


@pytest.fixture(scope="module")
def host(place, debian12):  # noqa: F811: a fixture
    (debian12 / "etc/resolv.conf").write_text(open("/etc/resolv.conf").read())
    (debian12 / "etc/hosts").write_text(f"127.0.0.1 localhost {platform.node()}\n")
    made = Host(debian12, place.registry)
    yield made
    made.leave()


def failures_in(doctor):
    return {line.split(":")[0].removeprefix("FAILED").strip() for line in doctor.stdout.splitlines() if line.startswith("FAILED")}


def test_from_a_bare_debian_to_a_job(place, package, debian12, host):  # noqa: F811: fixtures
    install, doctor, image, push, attempt = blocks("A system service")
    subprocess.run(["cp", package, debian12 / "tmp"], check=True)
    # Everything but git and the building of the package, which test_package does.
    (line,) = [line for line in install.splitlines() if "sarde-executor_*" in line]
    assert host.type("apt-get update -qq\napt-get install --yes -qq sudo\n" + line).returncode == 0
    assert host.type("virtlogd -d; libvirtd -d").returncode == 0
    # The registry of the tests speaks plain HTTP; and guests are emulated.
    (debian12 / "etc/sardinecake/sarde.toml").write_text(f'insecure-registries = ["{place.registry}"]\nboot-timeout = "4m"\n')
    assert failures_in(host.type(doctor)) == {"gitlab-runner in guests"}
    assert host.type(image).returncode == 0
    assert host.type(push).returncode == 0
    said = host.type(attempt)
    assert said.returncode == 0 and said.stdout.startswith("Linux ") and "gcc (Debian" in said.stdout
    again = host.type(attempt)
    assert again.returncode == 0 and "instead of booting" in again.stderr
    # The same by an ordinary user, in whose session QEMU and passt run.
    assert host.type("for pid in $(cat /run/libvirtd.pid /run/libvirt/libvirtd.pid 2>/dev/null); do kill $pid; done; useradd --create-home somebody").returncode == 0
    (debian12 / "home/somebody/.config/sardinecake").mkdir(parents=True)
    assert host.type("cp /etc/sardinecake/sarde.toml /home/somebody/.config/sardinecake; chown -R somebody: /home/somebody; chmod -R go+rX /tmp/debian12").returncode == 0
    look, attempt = blocks("A user's runner")[0].split("\n", 1)
    assert failures_in(host.type(look, user="somebody")) == {"gitlab-runner in guests"}
    said = host.type(attempt, user="somebody")
    assert said.returncode == 0 and said.stdout == "ci\n"


# In a VM with systemd and a kernel that enforces AppArmor's profiles.
CONFINED = r"""
set -eu
folder=/var/lib/sardinecake/jobs/sarde-1-0/network
mkdir -p $folder; chown root:nogroup $folder; chmod 770 $folder
mkdir -p /etc/apparmor.d/local/abstractions; touch /etc/apparmor.d/local/abstractions/libvirt-qemu
cat >/etc/apparmor.d/vm <<'END'
#include <tunables/global>
profile vm {
  #include <abstractions/libvirt-qemu>
  /usr/bin/perl rm,
  /usr/lib/@{multiarch}/perl-base/** rm,
  capability dac_override,
}
END
network() {
  passt --one-off --quiet --no-map-gw --socket $folder/qemu.sock --pid $folder/passt.pid --tcp-ports none --udp-ports none --runas 65534:65534 >/tmp/said 2>&1 && echo "$1: passt" || tail -1 /tmp/said
}
network before
{RULES}
network after
apparmor_parser --replace /etc/apparmor.d/vm
aa-exec -p vm -- perl -MIO::Socket::UNIX -e 'print "QEMU: ", IO::Socket::UNIX->new(Peer => $ARGV[0]) ? "connected\n" : "$!\n"' $folder/qemu.sock
"""
DRAINED = r"""
set -eu
cat >/etc/systemd/system/gitlab-runner.service <<'END'
[Service]
ExecStart=/bin/bash -c 'trap "sleep 3; echo >/run/job-done; exit 0" QUIT; sleep infinity & while :; do wait; done'
Restart=always
END
systemctl daemon-reload; systemctl start gitlab-runner; sleep 2
{DRAIN}
while [ "$(systemctl is-active gitlab-runner)" != inactive ]; do sleep 1; done
ls /run/job-done; sleep 2; systemctl is-active gitlab-runner || true
rm /run/systemd/system/gitlab-runner.service.d/drain.conf; systemctl daemon-reload; systemctl start gitlab-runner; systemctl is-active gitlab-runner
"""


def block_with(page, line):
    """The block of this page that has this line, as somebody would type it who is root already."""
    (block,) = [block for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", (TOP / "docs" / page).read_text(), re.M | re.S) if line in block]
    return block.replace("sudo ", "")


def test_an_image_from_a_containers_file_system(host, debian12):  # noqa: F811: fixtures
    """The recipe of docs/images.md, on the machine of the test before. A root without a kernel and an init system stands in for the
    container's, for there is no docker here. In its VM, what the pages say of AppArmor and of systemd is typed: here is neither."""
    page = (TOP / "docs/images.md").read_text().split("\n## From a container's image\n")[1]
    recipe = re.search(r"^```sh\n(.*?)^```$", page, re.M | re.S)[1]
    lines = [line for line in recipe.splitlines(keepends=True) if not line.startswith(("mkdir /tmp/root", "docker export"))]
    assert len(lines) == len(recipe.splitlines()) - 2
    recipe = "".join(lines).replace("examples/images/", "/usr/share/doc/sarde-executor/examples/images/").replace(" sudo git bash", " sudo git bash apparmor passt libvirt-daemon-system")
    tools = "/usr/share/doc/sarde-executor/examples/images/debian12/bootable-disk"
    recipe = recipe.replace(tools, f"mkdir -p /tmp/root/usr/share/doc/sarde-executor; cp -r /usr/share/doc/sarde-executor/gitlab-runner /tmp/root/usr/share/doc/sarde-executor\numount /tmp/root/proc\n{tools}")
    assert host.type("mmdebstrap --variant=apt --aptopt='Acquire::Retries \"5\"' bookworm /tmp/root; mount -t proc proc /tmp/root/proc").returncode == 0
    assert host.type(recipe).returncode == 0
    assert host.type("libvirtd -d; sarde-executor push registry.example.org/vms/build").returncode == 0
    said = host.type("sarde-executor try registry.example.org/vms/build 'id -un; git --version; sudo id -un'")
    assert said.returncode == 0 and re.fullmatch(r"ci\ngit version [0-9.]+\nroot\n", said.stdout), said.stdout
    confined = CONFINED.replace("{RULES}", block_with("getting-started.md", "apparmor_parser --replace"))
    (debian12 / "tmp/confined").write_text(f"sudo bash -s <<'SCRIPT'\n{confined}SCRIPT\n")
    said = host.type("sarde-executor try --script /tmp/confined registry.example.org/vms/build")
    assert said.stdout.splitlines()[-2:] == ["after: passt", "QEMU: connected"] and "before: passt" not in said.stdout and "Permission denied" in said.stdout, said.stdout
    drained = DRAINED.replace("{DRAIN}", block_with("operating.md", "SIGQUIT gitlab-runner"))
    (debian12 / "tmp/drained").write_text(f"sudo bash -s <<'SCRIPT'\n{drained}SCRIPT\n")
    said = host.type("sarde-executor try --script /tmp/drained registry.example.org/vms/build")
    assert said.stdout.splitlines() == ["/run/job-done", "inactive", "active"], said.stdout
