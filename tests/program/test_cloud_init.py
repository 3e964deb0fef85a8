"""Guests that cloud-init sets up: the small guest with a script in cloud-init's place, and cloud-init's own reader of user data."""
import getpass
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from conftest import TOP, need
from fake_runner import bash_script

# What cloud-init does with the first user of a cloud-config: finds the disk by its label, and makes user, key and sudo rule.
READER = r"""#!/bin/sh
mkdir -p /seed
for disk in /dev/vd?; do
  [ "$(dd if=$disk bs=1 skip=32808 count=6 2>/dev/null)" = CIDATA ] && mount -t iso9660 -o ro $disk /seed && break
done
[ -e /seed/user-data ] || exit 0
while read -r line; do echo "$line" | base64 -d 2>/dev/null; echo; done </seed/user-data >/run/user-data
cp /seed/meta-data /run/meta-data
field() { tr -d '\n' <"/run/$1" | sed -n "s/.*\"$2\": *\[* *\"\([^\"]*\)\".*/\1/p"; }
name=$(field user-data name)
key=$(field user-data ssh_authorized_keys)
hostname $(field meta-data local-hostname)
echo "$name:x:1001:1001::/home/$name:/bin/bash" >>/etc/passwd
echo "$name:*:19000::::::" >>/etc/shadow
echo "$name:x:1001:" >>/etc/group
echo "$name ALL=(ALL) NOPASSWD:ALL" >>/etc/sudoers
mkdir -p /home/$name/.ssh && echo "$key" >/home/$name/.ssh/authorized_keys
chown -R 1001:1001 /home/$name && chmod -R go= /home/$name
"""

# cloud-init's command, as far as prepare uses it.
COMMAND = """#!/bin/sh
[ "$*" = "status --wait" ] && sleep 2 && exit $(grep -c "^fail$" /run/user-data)
"""


@pytest.fixture(scope="module")
def cloud(place):
    """An image without any login of its own."""
    need(shutil.which("xorriso"), "xorriso is not installed")
    files = {"/etc/rc.local": READER, "/bin/cloud-init": COMMAND}
    commands = []
    for number, (path, text) in enumerate(files.items()):
        commands += [f"write {place.write(f'cloud-{number}', text)} {path}", f"sif {path} mode 0100755"]
    folder = place.changed_guest("cloud", commands)
    reference = f"{place.registry}/vms/cloud:1"
    place.run("export", "--cloud-init", "--compression", "fast", "--libvirtconfig", folder / "domain.xml", "cloud", reference)
    place.run("push", reference)
    return reference


def test_a_cloud_image_runs_jobs_with_a_key_of_their_own(place, cloud, tmp_path):
    user_data = place.write("user-data", "#cloud-config\npackages: [hello]\n")
    config = f'username = "worker"\ncloud-init-user-data = "{user_data}"\n'
    env = place.store(tmp_path)
    keys = []
    for number in range(2):
        with place.runner(config + "boot-timeout = \"60s\"\n", **env).job(job_id=7500 + number, image=cloud) as job:
            assert job.prepare(), job.result.text
            assert "cloud-init has set up the VM" in job.result.text and "WARNING: cloud-init" not in job.result.text
            (folder,) = (tmp_path / "jobs").iterdir()
            shown = job.run_script(bash_script("whoami; sudo -n whoami; hostname; cat ~/.ssh/authorized_keys; grep -c hello /run/user-data; ls /dev/vd?")).stdout.decode().splitlines()
            assert shown[:3] == ["worker", "root", folder.name]
            assert shown[4] == "1" and shown[5:] == ["/dev/vda", "/dev/vdb"]
            keys.append(shown[3])
            private = folder / "ssh-key"
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
            public = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
            assert public.split()[:2] == shown[3].split()[:2]
            assert "PRIVATE KEY" not in "".join(path.read_text() for path in (folder / "seed").iterdir())
    assert keys[0] != keys[1]


def test_errors_of_cloud_init_are_told(place, cloud, tmp_path):
    """Its command fails in this guest where the administrator's user data say so."""
    user_data = place.write("failing", "#!/bin/sh\nfail\n")
    with place.runner(f'cloud-init-user-data = "{user_data}"\n', **place.store(tmp_path)).job(job_id=7510, image=cloud) as job:
        assert job.prepare(), job.result.text
        assert "WARNING: cloud-init reports errors in the VM" in job.result.text


def test_a_guest_may_be_said_to_be_set_up_already(place, cloud, tmp_path):
    config = f'boot-timeout = "15s"\n[images."{cloud}"]\nguest-setup = "none"\n'
    with place.runner(config, **place.store(tmp_path)).job(job_id=7511, image=cloud) as job:
        assert b"refuses user 'vagrant'" in job.call("prepare").stderr


def test_user_data_that_cloud_init_would_ignore_is_refused(place, cloud, tmp_path):
    user_data = place.write("odd-user-data", "packages: [hello]\n")
    with place.runner(f'cloud-init-user-data = "{user_data}"\n', **place.store(tmp_path)).job(job_id=7512, image=cloud) as job:
        assert not job.prepare()
        assert "says no kind of user data" in job.result.text


@pytest.fixture(scope="module")
def cloud_init():
    """cloud-init's Python code from its Debian package, unpacked: installed, it would set up the machine that runs the tests."""
    folder = TOP / "build/cloud-init"
    modules = folder / "usr/lib/python3/dist-packages"
    if not modules.exists():
        folder.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(["apt-get", "-q=2", "-o", f"APT::Sandbox::User={getpass.getuser()}", "download", "cloud-init"], cwd=folder, capture_output=True, text=True)
        need(got.returncode == 0, f"cloud-init cannot be downloaded: {got.stderr.strip()}")
        subprocess.run(["dpkg-deb", "--extract", *folder.glob("*.deb"), folder], check=True)
    return modules


MERGE = """
import json, sys
from cloudinit import helpers, user_data
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.settings import PER_ALWAYS
paths = helpers.Paths({"cloud_dir": sys.argv[1], "run_dir": sys.argv[1]})
message = user_data.UserDataProcessor(paths).process(open(sys.argv[2]).read())
handler = CloudConfigPartHandler(paths)
data = None
handler.handle_part(data, "__begin__", None, None, PER_ALWAYS, {})
for part in message.walk():
    if part.get_content_type() == "text/cloud-config":
        handler.handle_part(data, "text/cloud-config", part.get_filename() or "part", part.get_payload(decode=True).decode(), PER_ALWAYS, dict(part.items()))
print(json.dumps({"merged": {key: value for key, value in handler.cloud_buf.items()}, "types": [part.get_content_type() for part in message.walk()]}))
"""


@pytest.mark.parametrize("of_administrator, types, checks", [
    ("#cloud-config\nusers:\n  - default\n  - name: admin\npackages: [git, make]\ndisable_root: false\n", ["text/cloud-config"],
     lambda merged: [user if isinstance(user, str) else user["name"] for user in merged["users"]] == ["wor'ker", "default", "admin"] and merged["packages"] == ["git", "make"] and merged["disable_root"] is True),
    ("#!/bin/sh\necho hello\n", ["text/x-shellscript"], lambda merged: len(merged["users"]) == 1),
    ("#cloud-config\n# für Jobs\npackages: [gruß]\n", ["text/cloud-config"], lambda merged: merged["packages"] == ["gruß"]),
    ("#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    #cloud-config\n    packages: [x]\n", None, lambda merged: merged["packages"] == ["x"]),
    ("Content-Type: text/x-shellscript\n\n#!/bin/sh\necho no newline at the end", ["text/x-shellscript"], lambda merged: len(merged["users"]) == 1),
    ("", [], lambda merged: merged["users"][0]["ssh_authorized_keys"][0].startswith("ssh-ed25519 "))])
def test_cloud_init_itself_merges_the_parts(place, cloud, cloud_init, tmp_path, of_administrator, types, checks):
    """The seed's user data, read by cloud-init's own code."""
    config = 'username = "wor\'ker"\nboot-timeout = "1s"\n'
    if of_administrator:
        config += f'cloud-init-user-data = "{place.write("merge-user-data", of_administrator)}"\n'
    seen = tmp_path / "seen"
    seen.mkdir()
    # The job fails at once; a fake of xorriso keeps what it was given.
    tool = tmp_path / "bin" / "xorriso"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "$last"/* {seen}\nexec /usr/bin/xorriso "$@"\n')
    tool.chmod(0o755)
    with place.runner(config, **place.store(tmp_path), PATH=f"{tool.parent}:{os.environ['PATH']}").job(job_id=7520, image=cloud) as job:
        job.call("prepare")  # once: it fails when the seed is made
    (tmp_path / "merge.py").write_text(MERGE)
    result = subprocess.run(["/usr/bin/python3", tmp_path / "merge.py", tmp_path, seen / "user-data"], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(cloud_init)})
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert types is None or answer["types"] == ["multipart/mixed", "text/cloud-config", *types]
    assert checks(answer["merged"]), answer
    assert re.fullmatch(r"sarde-7520-[0-9a-f]+", json.loads((seen / "meta-data").read_text())["local-hostname"])


@pytest.fixture(scope="module")
def guest_with_agent(place):
    """Debian's agent and the libraries that it needs, in a guest that takes no passwords."""
    folder = place.folder / "agent"
    folder.mkdir()
    subprocess.run(["apt-get", "-q=2", "-o", "APT::Sandbox::User=root", "download", "qemu-guest-agent"], cwd=folder, check=True)
    subprocess.run(["dpkg-deb", "--extract", next(folder.glob("*.deb")), folder / "root"], check=True)
    agent = folder / "root/usr/sbin/qemu-ga"
    libraries = re.findall(r"(/\S+/(\S+\.so\S*)) \(", subprocess.run(["ldd", agent], capture_output=True, text=True, check=True).stdout)
    need("not found" not in str(libraries) and len(libraries) > 3, f"the libraries of qemu-guest-agent are not all installed: {libraries}")
    script = place.write("starts-agent", "#!/bin/sh\nchown -R 1000:1000 /home/runner\ntouch /etc/no-ssh\nmkdir -p /run /usr/var/run /var/run\n"
                         "for p in /dev/vport*; do LD_LIBRARY_PATH=/usr/lib/agent /usr/bin/qemu-ga -d -m virtio-serial -p $p -f /tmp/ga.pid -l /tmp/ga.log -t /tmp; done\n"
                         "(sleep 4; dropbear -R -E -s) &\n")
    commands = ["mkdir /usr/lib/agent", f"write {agent} /usr/bin/qemu-ga", "sif /usr/bin/qemu-ga mode 0100755",
                f"write {script} /etc/rc.local", "sif /etc/rc.local mode 0100755"]
    commands += [f"write {pathlib.Path(path).resolve()} /usr/lib/agent/{name}" for path, name in libraries if not name.startswith(("ld-linux", "libc.so", "libm.so"))]
    return place.publish("agent", folder=place.changed_guest("agent", commands))


def test_a_key_made_for_the_job_comes_through_the_guest_agent(place, guest_with_agent):
    with place.runner('guest-setup = "agent"\nboot-timeout = 100\n').job(job_id=790, image=guest_with_agent) as job:
        assert job.prepare(), job.result.text
        assert "The guest's agent has added a key for user 'runner'" in job.result.text
        assert job.run_script(bash_script("grep -c ssh-ed25519 /home/runner/.ssh/authorized_keys")).stdout.strip() == b"1"
    with place.runner(f'guest-setup = "agent"\n[images."{guest_with_agent}"]\nusername = "nobody-there"\n').job(job_id=791, image=guest_with_agent) as job:
        result = job.call("prepare")
        assert result.code == 1 and "through its guest agent: " in result.stderr.decode(), result.stderr
    place.assert_nothing_left()


def test_an_image_without_an_agent_is_told(place, small_image):
    with place.runner('guest-setup = "agent"\nboot-timeout = 12\n').job(job_id=792, image=small_image) as job:
        result = job.call("prepare")
        assert result.code == 2 and "wait for the guest's agent, which is to add a key for user 'runner'" in result.stderr.decode(), result.stderr
    place.assert_nothing_left()
