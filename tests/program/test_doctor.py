"""`doctor` on a host that is well, and on hosts on which one thing is wrong: what is said, and what to type."""
import json
import pathlib
import subprocess

import pytest

RUNNER = """concurrent = 3
[[runners]]
  name = "vms"
  executor = "custom"
  [runners.custom]
    config_exec = "{program}"
    config_args = ["config"]
    prepare_exec = "{program}"
    prepare_args = ["prepare"]
    run_exec = "{program}"
    run_args = ["run"]
    cleanup_exec = "{program}"
    cleanup_args = ["cleanup"]
"""


@pytest.fixture
def host(place, tmp_path):
    """A host that is well: settings, gitlab-runner and its configuration."""
    runner = tmp_path / "config.toml"
    runner.write_text(RUNNER.format(program=place.program))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gitlab-runner").write_text("#!/bin/sh\n")
    (tools / "gitlab-runner").chmod(0o755)
    settings = tmp_path / "sarde.toml"
    settings.write_text("admission-timeout = 600\n")
    settings.chmod(0o600)
    return place.store(tmp_path) | {"CONFIG_FILE": str(runner), "SARDE_CONF_FILES": str(settings), "SARDE_GUEST_RUNNER": "auto", "SARDE_INSECURE_REGISTRIES": "",
                                    "PATH": f"{tools}:{place.environment['PATH']}"}


def examined(place, env, **options):
    told = place.run("doctor", "--json", env=env, check=False, **options)
    return {one["what"]: one for one in json.loads(told.stdout)}, told


def test_a_host_that_is_well(place, host):
    findings, told = examined(place, host)
    assert told.returncode == 0 and all(one["ok"] for one in findings.values()), told.stdout
    assert "'vms', 3 job(s) at once" in findings["gitlab-runner"]["detail"]
    assert "each of 3 job(s)" in findings["memory"]["detail"]
    assert findings["gitlab-runner in guests"]["detail"].endswith("/tools/gitlab-runner is put into guests that have none")
    tested = {one["what"] for one in json.loads(place.run("selftest", "--json", env=host).stdout)}
    assert tested < set(findings), "doctor looks at all that selftest does"


def edit(path, old, new):
    text = pathlib.Path(path).read_text()
    assert old in text
    pathlib.Path(path).write_text(text.replace(old, new))


WRONG = {
    "a stage is missing": ("gitlab-runner", lambda env: edit(env["CONFIG_FILE"], "cleanup_exec", "# cleanup_exec"), "cleanup_exec are not set; add under [runners.custom]: cleanup_exec = '"),
    "a program that is none": ("gitlab-runner", lambda env: edit(env["CONFIG_FILE"], "    run_exec = \"", "    run_exec = \"/nonexistent"), "run_exec is '/nonexistent"),
    "no custom executor": ("gitlab-runner", lambda env: edit(env["CONFIG_FILE"], '"custom"', '"shell"'), "has no runner with executor = 'custom'"),
    "no TOML": ("gitlab-runner", lambda env: edit(env["CONFIG_FILE"], "concurrent = 3", "concurrent ="), "config.toml, line 1: "),
    "prepare may take longer than the runner waits": ("gitlab-runner", lambda env: edit(env["CONFIG_FILE"], "    run_exec", "    prepare_exec_timeout = 600\n    run_exec"),
                                                      "set prepare_exec_timeout = 1620, or shorten these"),
    "a password that others may read": ("settings", lambda env: (edit(env["SARDE_CONF_FILES"], "admission", 'password = "geheim"\nadmission'), pathlib.Path(env["SARDE_CONF_FILES"]).chmod(0o644)),
                                        "which holds a password: chmod 600 "),
    "settings that others may change": ("settings", lambda env: pathlib.Path(env["SARDE_CONF_FILES"]).chmod(0o666), "other accounts may write to "),
    "no gitlab-runner for guests": ("gitlab-runner in guests", lambda env: pathlib.Path(env["PATH"].split(":")[0], "gitlab-runner").unlink(), "install gitlab-runner, or set guest-runner"),
    "a network that is not there": ("DHCP", lambda env: env.update(SARDE_NETWORK="nosuch"), "virsh net-dumpxml nosuch"),
    "a client that is missing": ("ssh", lambda env: without(env, "ssh"), "apt-get install openssh-client"),
}


def without(env, name):
    """All tools but one."""
    folder = pathlib.Path(env["PATH"].split(":")[0])
    for path in env["PATH"].split(":")[1:]:
        for tool in pathlib.Path(path).glob("*"):
            if tool.name != name and not (folder / tool.name).exists():
                (folder / tool.name).symlink_to(tool)
    env["PATH"] = str(folder)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_what_to_do(place, host, name):
    what, break_it, sentence = WRONG[name]
    break_it(host)
    findings, told = examined(place, host)
    assert told.returncode == 2
    assert not findings[what]["ok"] and sentence in findings[what]["detail"], told.stdout
    others = {one for one in findings if not findings[one]["ok"]} - {what}
    assert others <= ({"network"} if what == "DHCP" else {"memory"} if name == "no TOML" else set()), told.stdout


def test_little_room_is_told(place, host, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=True)
    try:
        findings, told = examined(place, host | {"SARDE_OCIDIR": str(small)})
        assert "ocidir: only 21.0 MB of 21.0 MB are free" in findings["room"]["detail"] and "sarde-executor prune" in findings["room"]["detail"], told.stdout
    finally:
        subprocess.run(["umount", small], check=True)
