"""Logins that guests with OpenSSH's server refuse, for a while or for ever, and what they are told."""
import re
import os
import subprocess
import time

import pytest

from fake_runner import bash_script
from test_openssh import openssh  # noqa: F401


def openssh_guest(place, name, commands):
    """The guest with OpenSSH, changed by debugfs commands; the reference of its image."""
    class Place:
        guest = place.guest.parent / "guest-openssh"
        folder = place.folder
    return place.publish(name, folder=type(place).changed_guest(Place, name, commands))


def prepare(place, image, config="", job_id=1001):
    """The result of prepare, and of a script if it succeeds; with the time prepare took."""
    with place.runner(config).job(job_id=job_id, image=image, cleanup_may_fail=True) as job:
        job.config()
        start = time.monotonic()
        result = job.call("prepare")
        took = time.monotonic() - start
        ran = job.run_script(bash_script("echo ran")).stdout if result.code == 0 else b""
    place.assert_nothing_left()
    return result, took, ran


@pytest.fixture(scope="module")
def late(place, openssh):
    """A guest whose user has no password until 25 s after its SSH server answers (cloud-init)."""
    shadow = place.write("shadow", "root:*:19000::::::\nrunner:!:19000::::::\n")
    rc_local = place.write("late.sh", "#!/bin/sh\n(sleep 25; cp /etc/shadow.later /etc/shadow) &\n")
    return openssh_guest(place, "late", ["ln /etc/shadow /etc/shadow.later", "unlink /etc/shadow", f"write {shadow} /etc/shadow", "sif /etc/shadow mode 0100640", f"write {rc_local} /etc/rc.local", "sif /etc/rc.local mode 0100755"])


def test_a_login_that_works_late(place, late):
    result, took, ran = prepare(place, late)
    assert result.code == 0 and ran == b"ran\n" and took < 70, result.stderr


def test_a_login_that_works_too_late_is_the_jobs_fault(place, late):
    result, took, _ = prepare(place, late, config="login-grace = 5\n")
    said = result.stderr.decode()
    assert result.code == 1 and "refuses user 'runner'" in said and took < 40, said
    assert "the user name comes from the image's vm config, the password from the image's vm config" in said, said


@pytest.mark.parametrize("what,lines", [("kex", "KexAlgorithms diffie-hellman-group14-sha1"), ("hostkey", "HostKey /etc/ssh/ssh_host_rsa_key\nHostKeyAlgorithms ssh-rsa"),
                                        ("cipher", "Ciphers aes128-cbc"), ("mac", "MACs hmac-sha1\nCiphers aes128-ctr")])
def test_a_guest_with_old_algorithms_only(place, openssh, what, lines):
    image = openssh_guest(place, f"old-{what}", [f"write {place.write(what, lines + chr(10))} /etc/ssh/sshd_config.d/old.conf"])
    if what in ("kex", "hostkey"):  # the other two would take the same way once more
        result, took, _ = prepare(place, image)
        said = result.stderr.decode()
        assert result.code == 1 and took < 30 and 'ssh-algorithms = "legacy"' in said and lines.split()[1 if what != "hostkey" else -1].split("\n")[0] in said, said
    result, _, ran = prepare(place, image, config=f'[images."{place.registry}/vms/old-*"]\nssh-algorithms = "legacy"\n')
    assert result.code == 0 and ran == b"ran\n", result.stderr


def test_a_guest_that_wants_no_password_is_let_in_with_a_warning(place, openssh):
    shadow = place.write("shadow-open", "root:*:19000::::::\nrunner::19000::::::\n")
    config = place.write("open.conf", "PermitEmptyPasswords yes\n")
    image = openssh_guest(place, "open", ["rm /etc/shadow", f"write {shadow} /etc/shadow", "sif /etc/shadow mode 0100640", f"write {config} /etc/ssh/sshd_config.d/open.conf"])
    result, _, ran = prepare(place, image, config="verbosity = 2\n")
    for step in (b"connected to libvirt (", b"set up the network (", b"libvirt created the domain (", b"tried to log in (", b" experimental-image-proxy"):
        assert step in result.stderr, (step, result.stderr)  # what took the time is to be seen
    assert re.search(rb"^  image +#+ .*\n  admission .*\n  vm +#+ .*\n  guest +#+ +\d", result.stderr, re.M), result.stderr  # and drawn
    assert result.code == 0 and ran == b"ran\n" and b"lets user 'runner' in without a password or key" in result.stderr, result.stderr


def test_a_guest_that_accepts_keys_only_says_so(place, openssh):
    config = place.write("keys.conf", "PasswordAuthentication no\nKbdInteractiveAuthentication no\n")
    image = openssh_guest(place, "keys", [f"write {config} /etc/ssh/sshd_config.d/keys.conf"])
    result, _, _ = prepare(place, image, config="login-grace = 3\n")
    assert result.code == 1 and b"it accepts no passwords, only keys (identity-file)" in result.stderr, result.stderr


@pytest.mark.parametrize("what,said", [("missing", "No such file"), ("a folder", "no regular file"), ("with a passphrase", "passphrase"), ("no key", "not a private key"), ("a pipe", "no regular file")])
def test_an_identity_file_that_is_none_is_a_wrong_setting(place, openssh, tmp_path, what, said):
    key = tmp_path / "key"
    match what:
        case "a folder": key.mkdir()
        case "with a passphrase": subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", key], check=True)
        case "no key": key.write_text("hello")
        case "a pipe": os.mkfifo(key)
    result, took, _ = prepare(place, openssh, config=f'identity-file = "{key}"\n')
    text = result.stderr.decode()
    assert result.code == 1 and said in text and "identity file" in text and "Fetch" not in text and took < 3, text


def test_a_guest_that_is_still_booting_refuses_nobody_for_good(place, openssh):
    """What pam_nologin(8) says before a refusal: not login-grace is the limit then, but boot-timeout."""
    banner = place.write("booting", "System is booting up. Unprivileged users are not permitted to log in yet.\n")
    config = place.write("booting.conf", "Banner /etc/booting\n")
    image = openssh_guest(place, "booting", [f"write {banner} /etc/booting", f"write {config} /etc/ssh/sshd_config.d/booting.conf"])
    result, _, _ = prepare(place, image, config=f'login-grace = 1\nboot-timeout = 20\n[images."{place.registry}/vms/booting"]\npassword = "wrong"\n')
    said = result.stderr.decode()
    assert result.code == 2 and "no logins yet: 'System is booting up" in said and "not available within 20.0 s" in said, said
