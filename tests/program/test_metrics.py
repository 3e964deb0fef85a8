"""The file for node_exporter: every metric that docs/monitoring.md names moves when what it counts happens."""
import re
import threading
import time

from conftest import TOP
from fake_runner import bash_script


def series(path):
    """The values by series; the file is checked as a scraper would read it."""
    values, types = {}, {}
    for line in path.read_text().splitlines():
        if line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(r'([a-z_]+)(\{(?:[a-z]+="[^"\\]*",?)*\})? ([0-9.e+-]+)', line).groups()
            assert any(name == one or name in (one + "_bucket", one + "_sum", one + "_count") for one in types), name
            values[name + (labels or "")] = float(value)
    return values


def test_every_metric_moves(place, small_image, tmp_path):
    file = tmp_path / "metrics" / "sarde.prom"
    env = place.store(tmp_path) | {"SARDE_METRICS_FILE": str(file)}
    runner = place.runner("", **env)
    with runner.job(job_id=720, image=small_image) as job:
        assert job.prepare(), job.result.text
        first = series(file)
        assert file.stat().st_mode & 0o777 == 0o644
        assert job.run_script(bash_script("exit 3")).code == 1
        assert series(file)["sarde_vms"] == 1
    with place.runner('pull-policy = "never"\n', **env).job(job_id=721, image=small_image) as job:
        assert job.prepare(), job.result.text
        script = job.start_script(bash_script("sleep 60"))
        time.sleep(2)
        script.process.terminate()
        job.finish_script(script)
        assert job.run_script(bash_script("true"), "after_script").code == 0
    with runner.job(job_id=722, image=small_image) as job:
        assert job.prepare(), job.result.text
    with runner.job(job_id=723, image=f"{place.registry}/vms/nosuch") as job:
        assert not job.prepare()
    with place.runner("", **env | {"SARDE_CONNECT": "qemu+unix:///session?socket=/nonexistent"}).job(job_id=724, image=small_image, retry_pause=0.1) as job:
        assert not job.prepare()
    last = series(file)
    expected = {'sarde_pulls_total{how="fetched"}': 1, 'sarde_pulls_total{how="cached"}': 1, 'sarde_pulls_total{how="up_to_date"}': 1,
                'sarde_failures_total{stage="run",kind="script"}': 1, 'sarde_failures_total{stage="run",kind="stopped"}': 1,
                'sarde_failures_total{stage="prepare",kind="job"}': 1, 'sarde_failures_total{stage="prepare",kind="host"}': 3,
                'sarde_phase_seconds_count{phase="script"}': 3, 'sarde_phase_seconds_count{phase="vm"}': 3, 'sarde_phase_seconds_count{phase="guest"}': 3,
                'sarde_phase_seconds_count{phase="admission"}': 3, 'sarde_vms': 0}
    assert {name: last.get(name) for name in expected} == expected
    assert last["sarde_pulled_bytes_total"] > 1e6 and last["sarde_pulled_bytes_total"] == first["sarde_pulled_bytes_total"]
    phases = {re.search('phase="([a-z]+)"', name)[1] for name in last if "phase=" in name}
    assert phases == {"image", "admission", "vm", "guest", "prepare", "script", "cleanup"}
    for phase in phases:
        buckets = [value for name, value in last.items() if name.startswith(f'sarde_phase_seconds_bucket{{phase="{phase}"')]
        count = last[f'sarde_phase_seconds_count{{phase="{phase}"}}']
        assert last[f'sarde_phase_seconds_bucket{{phase="{phase}",le="+Inf"}}'] == count == max(buckets) and last[f'sarde_phase_seconds_sum{{phase="{phase}"}}'] > 0
    # The page names each of them, and no other.
    documented = set(re.findall(r"`(sarde_[a-z_]+)", (TOP / "docs/monitoring.md").read_text()))
    assert documented == {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in last}
    assert not [path for path in file.parent.iterdir() if path.name not in ("sarde.prom", ".sarde.prom.lock")]


def test_stages_at_once_lose_no_count(place, tmp_path):
    """Cleanups that have nothing to do, many at once; a file that is damaged; a folder that may not be written."""
    file = tmp_path / "sarde.prom"
    file.write_text("garbage\nsarde_failures_total{stage=\"run\",kind=\"script\"} many\nother_metric 5\n")
    runner = place.runner("", SARDE_METRICS_FILE=str(file))

    def clean(number):
        with runner.job(job_id=number, image="x"):
            pass

    threads = [threading.Thread(target=clean, args=(730 + i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert series(file)['sarde_phase_seconds_count{phase="cleanup"}'] == 12 and "other_metric" not in file.read_text()
    with place.runner("", SARDE_METRICS_FILE="/proc/nowhere/sarde.prom").job(job_id=750, image="x") as job:
        result = job.cleanup()
        assert result.code == 0 and b"WARNING: metrics-file: " in result.stderr
