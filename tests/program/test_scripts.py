"""The administrator's scripts around a job, other shells, and logins with the keys of an SSH agent."""
import os
import subprocess

import pytest

from fake_runner import bash_script

VARIABLES = [{"key": "CI_PROJECT_PATH", "value": "group/it's \"demo\" $(reboot)\nline two", "public": True, "masked": False},
             {"key": "CI_JOB_TOKEN", "value": "secret-token", "public": False, "masked": True},
             {"key": "DEPLOY_KEY", "value": "secret-key", "public": False, "masked": False},
             {"key": "MASKED", "value": "secret-masked", "public": True, "masked": True},
             {"key": "A_FILE", "value": "secret-file", "public": True, "file": True},
             {"key": "not a name; reboot", "value": "x", "public": True},
             {"key": "PATH", "value": "/nowhere", "public": True, "masked": False},
             {"key": "CI_JOB_NAME", "value": "build", "public": True}]


def test_scripts_before_and_after_a_job_know_it_but_not_its_secrets(place, small_image):
    before = place.write("before.sh", "printf '%s|' \"$CI_PROJECT_PATH\" \"$CI_JOB_NAME\" \"$CI_JOB_TOKEN$DEPLOY_KEY$MASKED$A_FILE\"\nenv | grep -c secret\ntrue\n")
    after = place.write("after.sh", "printf 'after %s %s %s' \"$CI_JOB_NAME\" \"$CI_JOB_STATUS\" \"$(cat /tmp/left)\"\n")
    config = f'prepare-script = "{before}"\n[images."**"]\npost-script = "{after}"\n'
    config = config.replace('"**"', f'"{place.registry}/vms/*"')
    with place.runner(config).job(job_id=760, image=small_image, response={"variables": VARIABLES}, variables={"CI_JOB_STATUS": "success"}) as job:
        assert job.prepare(), job.result.text
        assert "group/it's \"demo\" $(reboot)\nline two|build||0\n" in job.result.text, job.result.text
        job.run_script(bash_script("echo by-the-job >/tmp/left"))
        cleaned = job.cleanup()
        assert cleaned.stdout == b"after build success by-the-job", cleaned
    place.assert_nothing_left()


@pytest.mark.parametrize("content,sentence", [("exit 9\n", "it ended with exit code 9"), ("sleep 60\n", "it did not end within 2.0 s (post-script-timeout)")])
def test_a_post_script_that_fails_is_only_reported(place, small_image, content, sentence):
    after = place.write("fails-after.sh", content)
    with place.runner(f'post-script = "{after}"\npost-script-timeout = 2\n').job(job_id=761, image=small_image) as job:
        assert job.prepare(), job.result.text
        cleaned = job.cleanup()
        assert cleaned.code == 0 and f"WARNING: run the post-script {after} in the VM: {sentence}" in cleaned.stderr.decode(), cleaned.stderr
    place.assert_nothing_left()


def test_scripts_of_pwsh_travel_as_files_with_their_exit_codes(place):
    """Debian has no PowerShell: the guest's pwsh is a stand-in that checks how it is called and lets sh read the file."""
    pwsh = place.write("pwsh", "#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = '-NoProfile -NonInteractive -ExecutionPolicy Bypass -File' ] || exit 99\ncase $6 in *.ps1) ;; *) exit 98;; esac\n"
                       "echo \"pwsh reads $(wc -c <\"$6\") bytes\"\nexec sh \"$6\"\n")
    folder = place.changed_guest("pwsh", [f"write {pwsh} /usr/bin/pwsh", "sif /usr/bin/pwsh mode 0100755"])
    image = place.publish("pwsh", folder=folder)
    with place.runner(f'[images."{image}"]\nshell = "pwsh"\n').job(job_id=762, image=image) as job:
        assert job.prepare(), job.result.text
        assert job.settings["shell"] == "pwsh"
        big = b"# " + bytes(range(1, 256)).replace(b"\n", b"").replace(b"\r", b"") * 400 + b"\necho 'it''s here'; exit 37\n"
        result = job.run_script(big)
        assert result.stdout == f"pwsh reads {len(big)} bytes\nits here\n".encode(), result
        assert (result.code, job.result.exit_code) == (1, 37)
        assert job.run_script(b"echo after", "after_script").stdout.endswith(b"after\n")
    place.assert_nothing_left()


def test_the_keys_of_an_agent_log_in_when_they_may(place, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    script = place.write("keys-only", "#!/bin/sh\nmkdir -p /home/runner/.ssh\necho '" + (tmp_path / "key.pub").read_text().strip() + "' >/home/runner/.ssh/authorized_keys\n"
                         "chown -R 1000:1000 /home/runner\nchmod -R go= /home/runner\ntouch /etc/no-ssh\n(sleep 4; dropbear -R -E -s) &\n")
    folder = place.changed_guest("keys-only", [f"write {script} /etc/rc.local", "sif /etc/rc.local mode 0100755"])
    image = place.publish("keys-only", folder=folder)
    agent = subprocess.run(["ssh-agent", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True).stdout
    pid = int(agent.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        env = {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
        subprocess.run(["ssh-add", "-q", key], env=os.environ | env, check=True)
        key.unlink()
        with place.runner("ssh-agent = true\n", **env).job(job_id=763, image=image) as job:
            assert job.prepare(), job.result.text
            assert job.run_script(bash_script("echo in")).stdout == b"in\n"
            assert place.run("ssh", "763", "echo also in; ls ${SSH_AUTH_SOCK:-nothing} 2>&1 | head -1", env=env).stdout.startswith("also in\n")
        with place.runner("login-grace = 5\n", **env).job(job_id=764, image=image) as job:
            assert not job.prepare() and "it accepts no passwords, only keys" in job.result.text
    finally:
        os.kill(pid, 15)
    place.assert_nothing_left()
