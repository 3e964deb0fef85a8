"""Every option does what it says: SHOWN_BY names the test for each, and this file has those that fit nowhere else."""
import json
import os
import re
import subprocess

import pytest

from conftest import TOP
from fake_runner import bash_script
from test_images import domain, undefined  # noqa: F401: a fixture

# Which test shows what an option does.
SHOWN_BY = {
    "concurrency": ["test_a_vm_has_the_size_and_the_disks_that_were_asked_for"],
    "keep-connection": ["test_stages_share_one_login", "test_without_it_each_stage_logs_in"],
    "warm": ["test_off_is_as_it_was", "test_two_vms_continue_from_the_state_of_a_first"],
    "warm-max-age": ["test_an_old_state_is_replaced"],
    "disk-size": ["test_a_vm_has_the_size_and_the_disks_that_were_asked_for", "test_a_shape_that_cannot_be"],
    "scratch-disk": ["test_a_vm_has_the_size_and_the_disks_that_were_asked_for", "test_a_shape_that_cannot_be"],
    "max-disk-size": ["test_a_shape_that_cannot_be"],
    "nested": ["vm shape: nested virtualisation is hidden from jobs that were not given it"],
    "timezone": ["test_a_vm_has_the_size_and_the_disks_that_were_asked_for", "vm shape: a hardware clock in local time gets the job's time zone"],
    "network-limit": ["test_jobs_on_a_libvirt_network", "test_a_shape_that_cannot_be"],
    "disk-limit": ["test_a_vm_has_the_size_and_the_disks_that_were_asked_for"],
    "max-vms": ["test_killed_jobs_hold_no_room", "test_who_waits_too_long_is_told_what_for"],
    "memory-overcommit": ["test_who_waits_too_long_is_told_what_for"],
    "admission-timeout": ["test_who_waits_too_long_is_told_what_for"],
    "guest-runner": ["test_the_hosts_gitlab_runner_is_there_for_artifacts", "test_a_user_who_cannot_mount_gets_it_sent"],
    "post-script": ["test_scripts_before_and_after_a_job_know_it_but_not_its_secrets"],
    "post-script-timeout": ["test_a_post_script_that_fails_is_only_reported"],
    "ssh-agent": ["test_the_keys_of_an_agent_log_in_when_they_may"],
    "keep-on-failure": ["test_the_vm_of_a_failed_job_is_kept_for_a_while", "test_a_job_may_ask_for_it_if_it_is_let"],
    "metrics-file": ["test_every_metric_moves"],
    "script": ["test_a_script_runs_in_it"],
    "follow": ["test_what_a_vm_wrote_to_its_console_is_printed"],
    "builds-dir": ["test_builds_and_caches_stay_with_their_project"],
    "cache-dir": ["test_builds_and_caches_stay_with_their_project"],
    "shared-dirs": ["test_builds_and_caches_stay_with_their_project"],
    "mounts": ["test_a_folder_of_the_administrators", "test_a_mount_that_cannot_be"],
    "max-keep": ["test_a_job_may_ask_for_it_if_it_is_let"],
    "cloud-init": ["test_a_cloud_image_runs_jobs_with_a_key_of_their_own"],
    "guest-setup": ["test_a_guest_may_be_said_to_be_set_up_already", "test_a_key_made_for_the_job_comes_through_the_guest_agent"],
    "cloud-init-user-data": ["test_errors_of_cloud_init_are_told", "test_cloud_init_itself_merges_the_parts"],
    "disk": ["test_a_disk_file_becomes_an_image_and_runs_a_job", "test_bare_disks_may_be_several_and_of_any_format"],
    "firmware": ["test_bare_disks_may_be_several_and_of_any_format"],
    "arch": ["test_bare_disks_may_be_several_and_of_any_format"],
    "with-cdroms": ["test_cds_are_taken_along_when_asked"],
    "strict": ["test_what_a_job_would_refuse_or_lose_is_said_at_export"],
    "threads": ["test_threads_change_the_time_and_not_the_image"],
    "help": ["test_version_and_help"],
    "help-all": ["test_no_run_and_verbosity"],
    "version": ["test_version_and_help"],
    "verbose": ["test_no_run_and_verbosity"],
    "quiet": ["test_no_run_and_verbosity", "test_progress_is_a_bar_on_a_terminal"],
    "connect": ["test_failure_of_prepare", "test_options_may_stand_before_the_command_as_in_sardinecake"],
    "no-run": ["test_no_run_and_verbosity"],
    "username": ["test_settings_of_a_job_reach_its_vm", "test_a_password_is_asked_for_kept_and_forgotten"],
    "password": ["test_failure_of_prepare", "test_a_password_is_asked_for_kept_and_forgotten"],
    "password-stdin": ["test_a_password_is_asked_for_kept_and_forgotten"],
    "identity-file": ["test_settings_of_a_job_reach_its_vm"],
    "authfile": ["test_an_authfile_of_ones_own"],
    "insecure": ["test_plain_http_only_where_it_is_allowed"],
    "fetch-timeout": ["test_settings_of_a_job_reach_its_vm"],
    "executor": ["test_which_kind_an_ini_file_is_does_not_hang_on_its_name"], "platform": ["test_the_platform_may_be_chosen"],
    "ssh-algorithms": ["test_a_guest_with_old_algorithms_only"], "login-grace": ["test_a_login_that_works_too_late_is_the_jobs_fault"],
    "signature-policy": ["test_only_images_with_a_trusted_signature"],
    "ocidir": ["test_both_share_a_cache_and_agree_on_what_is_in_it"],
    "vmdir": ["test_source_target_and_name", "test_options_under_sardinecakes_names"],
    "jobsdir": ["test_prune_removes_what_nobody_names_or_uses", "test_options_under_sardinecakes_names"],
    "name": ["test_source_target_and_name"],
    "source": ["test_source_target_and_name"],
    "target": ["test_source_target_and_name"],
    "print-uuid": ["test_export_import_print_names_alone", "test_clone_of_an_image_and_of_a_vm"],
    "raw": ["test_raw_layouts", "test_list_and_getconfig"],
    "tag": ["test_tag_names_the_image"],
    "vmconfig": ["test_list_and_getconfig"],
    "libvirtconfig": ["test_export_import_print_names_alone"],
    "chunksize": ["test_export_import_print_names_alone", "test_what_we_export_sardinecake_imports"],
    "compression": ["test_what_we_export_sardinecake_imports"],
    "live": ["test_a_running_vm_is_exported_live"],
    "remote": ["test_inspect_tells_of_disks_and_chain_here_and_at_the_registry"],
    "format": ["test_list_and_getconfig"],
    "json": ["test_list_and_getconfig", "test_selftest", "test_settings_are_shown_with_their_origin"],
    "dry-run": ["test_rm_leaves_what_others_need", "test_prune_removes_what_nobody_names_or_uses"],
    "diff": ["test_inspect_compares_two_images"],
    "scheduled": ["test_a_timer_prunes_nothing_until_a_limit_is_set"],
    "older-than": ["test_prune_removes_what_nobody_names_or_uses"],
    "budget": ["test_prune_removes_what_nobody_names_or_uses"],
    "default-image": ["test_settings_of_a_job_reach_its_vm", "test_a_short_name_and_a_list_of_pull_policies"],
    "aliases": ["test_a_short_name_and_a_list_of_pull_policies", "image choice: an alias stands for one image, and not for another alias"],
    "allow-image": ["test_an_image_that_the_runner_does_not_allow"],
    "deny-image": ["test_an_image_that_the_runner_does_not_allow"],
    "keep-blobs": ["test_keep_blobs", "test_a_jobs_host_holds_one_copy_and_brings_the_layers_when_they_are_needed"],
    "lazy": ["test_auto_starts_early_only_where_it_takes_long", "test_a_job_runs_while_its_image_comes"],
    "manifest-ttl": ["test_a_short_name_and_a_list_of_pull_policies"],
    "shell": ["test_settings_per_image_reach_config"],
    "guest-builds-dir": ["test_settings_of_a_job_reach_its_vm"],
    "guest-cache-dir": ["test_settings_of_a_job_reach_its_vm"],
    "network": ["test_qemus_own_user_network_has_to_be_asked_for", "test_jobs_on_a_libvirt_network"],
    "virt-type": ["test_settings_of_a_job_reach_its_vm"],
    "ssh-port": ["test_settings_of_a_job_reach_its_vm"],
    "prepare-script": ["test_a_prepare_script_runs_in_the_vm"],
    "prepare-script-timeout": ["test_a_prepare_script_that_does_not_end"],
    "pull-policy": ["test_pull_policies", "test_a_short_name_and_a_list_of_pull_policies"],
    "memory": ["test_settings_of_a_job_reach_its_vm"],
    "vcpus": ["test_settings_of_a_job_reach_its_vm"],
    "timeout": ["settings: timeout stands for the two waits that are not given"],
    "address-timeout": ["boot wait: an address is waited for"],
    "boot-timeout": ["test_failure_of_prepare"],
    "omit-backingstore": ["test_settings_of_a_job_reach_its_vm"],
    "allow-devices": ["test_an_attack_is_refused"],
    "max-disk": ["test_an_attack_is_refused"],
    "max-image": ["test_an_attack_is_refused"],
    "job-settable": ["test_what_a_job_may_set_is_what_the_administrator_lists"],
    "max-memory": ["test_what_a_job_may_set_is_what_the_administrator_lists"],
    "max-vcpus": ["test_what_a_job_may_set_is_what_the_administrator_lists"],
    "max-job-disk": ["test_a_job_that_fills_its_disk"],
    "allowed-pull-policies": ["test_pull_policies"],
    "insecure-registries": ["test_plain_http_only_where_it_is_allowed"],
    "verbosity": ["test_no_run_and_verbosity"],
}


def commands(place):
    text = place.run("--help").stdout
    return re.findall(r"^  ([a-z]+) ", text[text.index("Stages of a job"):], re.M)


def options_of(place, command):
    """The long names of a command's options, and the short ones."""
    text = place.run(command, "--help").stdout
    return {name for line in re.findall(r"^  (-[-a-zA-Z,]+)", text, re.M) for name in line.split(",")}


def test_every_option_is_listed_and_has_a_test(place):
    tests = "".join(path.read_text() for path in [*TOP.glob("tests/program/test_*.py"), *TOP.glob("tests/unit/**/*_test.cpp"), *TOP.glob("tests/adapter/*_test.cpp")])
    listed, offered = set(), {"-V", "--version"}
    for line in (TOP / "docs/options.md").read_text().splitlines():
        if line.startswith("| `") and "settings only" not in line:
            listed.update(name.split()[0] for name in re.findall(r"`(-[^`]+)`", line.split(" | ")[0]))
        if line.startswith("| `"):
            name = re.search(r"`-*([a-z][-a-z]+)", line).group(1)
            assert name in SHOWN_BY, f"no test is known that shows what {name} does"
    for command in commands(place):
        offered |= options_of(place, command)
    common = {"-h", "--help", "--help-all", "-v", "--verbose", "-q", "--quiet", "-V", "--version"}
    assert offered - common == listed
    for name, covered_by in SHOWN_BY.items():
        assert covered_by, name
        for test in covered_by:
            assert f"def {test}(" in tests or f'TEST_CASE("{test}' in tests, (name, test)


# A value of each kind of option, and one that it does not take.
VALUES = {"guest-setup": ("none", "ignition"), "lazy": ("always", "eager"), "warm": ("off", "hot"), "warm-max-age": ("12h", "soon"), "firmware": ("uefi", "coreboot"), "format": ("json", "yaml"), "compression": ("fast", "slow"), "shell": ("sh", "fish"), "pull-policy": ("never", "often"), "virt-type": ("qemu", "xen"), "ssh-algorithms": ("legacy", "old"),
          "ssh-port": ("22", "x"), "threads": ("2", "many"), "vcpus": ("2", "two"), "cpus": ("auto", "two"), "max-vms": ("2", "two"), "memory-overcommit": ("1.5", "0.5"), "disk-size": ("1GiB", "much"), "scratch-disk": ("1GiB", "much"), "network-limit": ("1MB", "much"), "disk-limit": ("1MB", "much"), "memory": ("1GiB", "much"), "chunksize": ("1GiB", "much"), "budget": ("1GiB", "much"), "max-job-disk": ("1GiB", "much"), "guest-builds-dir": ("/b", None),
          "guest-cache-dir": ("/c", None)} | {name: ("90s", "soon") for name in ("timeout", "boot-timeout", "address-timeout", "fetch-timeout", "prepare-script-timeout", "older-than", "login-grace", "admission-timeout", "post-script-timeout", "keep-on-failure", "max-keep")}
WORDS = {"run": ["script", "stage"], "ssh": ["1"], "console": ["1"], "logs": ["1"], "jobs": [], "doctor": [], "clone": ["a", "b"], "settings": [], "login": ["h.example"], "logout": ["h.example"]}


def test_every_option_is_taken_by_the_commands_that_list_it_and_no_nonsense_is(place):
    typed = 0
    for command in commands(place):
        text = place.run(command, "--help").stdout
        words = WORDS.get(command, ["x"] if re.search(r"^  (CONTAINER|NAME)\b", text, re.M) else [])
        for names, takes in re.findall(r"^  (-[-a-zA-Z,]+)( [A-Z]+)?", text, re.M):
            for name in names.split(","):
                if name in ("-h", "--help", "--help-all", "--no-run"):
                    continue
                good, bad = VALUES.get(names.split(",")[-1].lstrip("-"), ("x", None))
                result = place.run(command, "--no-run", name, *([good] if takes else []), *words, check=False)
                assert result.returncode == 0 and result.stdout == "", (command, name, result.stderr)
                if takes and bad:
                    refused = place.run(command, "--no-run", name, bad, *words, check=False)
                    assert refused.returncode == 1 and bad in refused.stderr, (command, name, refused.stderr)
                typed += 1
    assert typed > 200


def test_settings_of_a_job_reach_its_vm(place, tmp_path):
    """Memory, processors, virtualisation, network, port, key, folders, the default image: all in one VM."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    # A second SSH server that takes the key and no password.
    script = place.write("second-server", "#!/bin/sh\nmkdir -p /home/runner/.ssh\necho '" + (tmp_path / "key.pub").read_text().strip() + "' >/home/runner/.ssh/authorized_keys\n"
                         "chown -R 1000:1000 /home/runner\nchmod -R go= /home/runner\n(sleep 4; dropbear -R -E -s -p 2222) &\n")
    folder = place.changed_guest("second-server", [f"write {script} /etc/rc.local", "sif /etc/rc.local mode 0100755"])
    image = place.publish("second-server", folder=folder)
    config = (f'image = "{image}"\nmemory = "384MiB"\nvcpus = 2\nvirt-type = "qemu"\nnetwork = "user"\nssh-port = 2222\nidentity-file = "{key}"\nusername = "nobody"\n'
              'guest-builds-dir = "/home/runner/b"\nguest-cache-dir = "/home/runner/c"\nomit-backingstore = true\nfetch-timeout = "10m"\naddress-timeout = 50\ntimeout = 100\n')
    with place.runner(config).job(job_id=41, image="") as job:
        assert job.prepare(), job.result.text
        xml = subprocess.run(["virsh", "-c", "qemu:///session", "dumpxml", job.settings["hostname"]], capture_output=True, text=True, check=True).stdout
        assert "<domain type='qemu'" in xml and "<memory unit='KiB'>393216</memory>" in xml
        job.run_script(bash_script("grep -c ^processor /proc/cpuinfo; echo $SSH_CONNECTION"))
        assert "\n2\n" in job.result.text and " 2222" in job.result.text
        assert (job.settings["builds_dir"], job.settings["cache_dir"]) == ("/home/runner/b", "/home/runner/c")
    place.assert_nothing_left()


def test_pull_policies(place, small_image):
    """if-not-present does without the registry once the image is there, always does not."""
    with place.runner('pull-policy = "if-not-present"\n').job(job_id=42, image=small_image) as job:
        assert job.prepare(), job.result.text
        assert "from the cache (pull policy 'if-not-present')" in job.result.text
    config = 'pull-policy = "always"\nallowed-pull-policies = ["never"]\n'
    with place.runner(config).job(job_id=43, image=small_image, response={"image": {"name": small_image, "pull_policy": ["never"]}}) as job:
        assert job.prepare(), job.result.text
        assert "pull policy 'never'" in job.result.text
    place.assert_nothing_left()


def test_source_target_and_name(place, tmp_path, small_image, undefined):  # noqa: F811
    env = place.store(tmp_path)
    place.run("fetch", "--source", small_image, "h.example/other/name:x", env=env)
    listed = json.loads(place.run("list", "--json", env=env).stdout)
    assert [(entry["name"], entry["tag"]) for entry in listed] == [("h.example/other/name", "x")]
    assert place.run("import", "--name", "named", "h.example/other/name:x", env=env).stdout == "named\n"
    assert place.run("pull", "-s", small_image, "-n", "pulled", "-o", tmp_path / "elsewhere", "h.example/other/name:y", env=env).stdout == "pulled\n"
    assert (tmp_path / "elsewhere/pulled/disk.qcow2").exists()
    place.run("push", "-t", f"{place.registry}/vms/again:1", "h.example/other/name:x", env=env)
    place.run("fetch", f"{place.registry}/vms/again:1", env=env)


def test_raw_layouts(place, tmp_path, undefined):  # noqa: F811
    env = place.store(tmp_path)
    layout = tmp_path / "layout"
    assert place.run("export", "--raw", "--libvirtconfig", place.guest / "domain.xml", "x", layout, env=env).stdout == f"{layout}\n"
    assert place.run("import", "--raw", "-n", "raw-import", layout, env=env).stdout == "raw-import\n"
    assert not (tmp_path / "oci").exists() or not list((tmp_path / "oci").rglob("index.json"))


def test_tag_names_the_image(place, tmp_path):
    env = place.store(tmp_path)
    xml = place.guest / "domain.xml"
    assert place.run("export", "--tag", "h.example/a/b:c", "--libvirtconfig", xml, "x", env=env).stdout == "h.example/a/b:c\n"
    both = place.run("export", "--tag", "h.example/a/b:c", "--libvirtconfig", xml, "x", "h.example/d/e:f", env=env, check=False)
    assert both.returncode == 1 and "is named twice" in both.stderr
    assert place.run("export", "--libvirtconfig", xml, "plain", env=env).stdout == "plain\n"


def test_no_run_and_verbosity(place, tmp_path):
    env = place.store(tmp_path)
    assert place.run("--no-run", "export", "x", "h.example/x:1", env=env).stdout == ""
    listed = place.run("list", "--json", env=env | {"SARDE_CONNECT": "nonsense:///"})
    assert listed.stdout == "[]\n" and place.run("list", "--json", "--no-run", env=env).stdout == ""
    (tmp_path / "d.raw").write_bytes(b"x" * 1000)
    (tmp_path / "d.xml").write_text(domain("x", ("d.raw", "raw")))
    away = env | {"SARDE_CONNECT": "nonsense:///"}

    def lines(*options, **more):
        return place.run("export", "--libvirtconfig", tmp_path / "d.xml", *options, "x", "h.example/x/v:1", env=away | more).stderr.count("\n")

    # Two steps, and two details: which files were read, and that whether a VM writes to the disk cannot be found out.
    assert [lines(*options) for options in ((), ("-q",), ("-v",), ("--quiet",), ("--verbose",))] == [2, 0, 4, 0, 4]
    assert lines(SARDE_VERBOSITY="2") == 4
    assert "Usage: " in place.run("--help-all").stdout


@pytest.mark.parametrize("options", [["--connect", "test:///default"], ["-u", "me"], ["--username=me", "-p", "x"], ["--identity-file", "/k"], ["-v"], ["-q"]])
def test_options_may_stand_before_the_command_as_in_sardinecake(place, tmp_path, options):
    assert place.run(*options, "list", "--json", env=place.store(tmp_path)).stdout == "[]\n"


def test_options_under_sardinecakes_names(place, tmp_path, small_image, undefined):  # noqa: F811
    env = place.store(tmp_path)
    place.run("fetch", small_image, env=env)
    place.run("import", "--outdir", tmp_path / "out", "-n", "outdir", small_image, env=env)
    assert (tmp_path / "out/outdir/disk.qcow2").exists()
    place.run("prepare", "--clonedir", tmp_path / "clones", env=env | {"CI_JOB_ID": "44"}, check=False)  # a job without an image
    assert list((tmp_path / "clones").iterdir()) == []


def test_threads_change_the_time_and_not_the_image(place, tmp_path):
    most, digests = {}, set()
    for threads in ("1", "5"):
        folder = tmp_path / threads
        folder.mkdir()
        command = [place.program, "export", "--threads", threads, "--libvirtconfig", place.guest / "domain.xml", "g", "h.example/vms/g:1"]
        most[threads] = 0
        with subprocess.Popen(command, env=place.environment | place.store(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                most[threads] = max(most[threads], len(os.listdir(f"/proc/{process.pid}/task")) if os.path.exists(f"/proc/{process.pid}/task") else 0)
            assert process.returncode == 0, process.stderr.read()
        digests.add(json.loads(place.run("list", "--json", env=place.store(folder)).stdout)[0]["digest"])
    assert most["1"] < most["5"], most
    assert len(digests) == 1
