#!/usr/bin/python3
"""Calls the driver's stages as gitlab-runner 19.4 does (shared/custom-executor.md is the contract it keeps).

As a module: FakeRunner, for the tests. As a program: runs one job and shows its log, for examples/quickstart.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

BUILD_FAILURE = 1
SYSTEM_FAILURE = 2
PREPARE_TRIES = 3


@dataclass
class StageResult:
    name: str
    code: int | None
    seconds: float
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def verdict(self):
        """executors/custom/command: 0 is success, the build failure's code is one; all else is the system's fault."""
        return {0: "success", BUILD_FAILURE: "build_failure"}.get(self.code, "system_failure")


@dataclass
class JobResult:
    verdict: str = "success"
    exit_code: int | None = None
    stages: list = field(default_factory=list)
    log: bytes = b""

    @property
    def text(self):
        return self.log.decode("utf-8", "replace")

    def stage(self, name):
        return next(stage for stage in reversed(self.stages) if stage.name == name)


def ansi_c(text):
    """The runner hands user code to eval as one $'…' word."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return "$'" + escaped + "'"


def bash_script(body, variables=None):
    """A script as the runner's bash writer makes it."""
    exports = "".join(f"export {name}={ansi_c(value)}\n" for name, value in (variables or {}).items())
    return (f"#!/usr/bin/env bash\n\nset -eo pipefail\nset +o noclobber\n: | (eval {ansi_c(exports + body)}) < /dev/null\nexit 0\n").encode()


class Stage:
    """One call of the driver, in a process group of its own, its output going into the job's log as it comes."""

    def __init__(self, name, argv, env, cwd, sink, grace=600):
        self.name, self.grace, self.started = name, grace, time.monotonic()
        self.out, self.err = bytearray(), bytearray()
        self.process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, process_group=0)
        self.readers = [threading.Thread(target=self._read, args=(pipe, kept, sink))
                        for pipe, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(pipe, kept, sink):
        while chunk := os.read(pipe.fileno(), 65536):
            kept += chunk
            sink(chunk)
        pipe.close()

    def terminate(self):
        """SIGTERM to the group; SIGKILL after the grace time (wait does that)."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        timer = threading.Timer(self.grace, lambda: os.killpg(self.process.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def wait(self, timeout=3600):
        """Ends when the process has ended and every process that inherited its pipes has closed them."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        for reader in self.readers:
            reader.join(timeout)
            if reader.is_alive():
                raise AssertionError(f"{self.name}: a process left behind holds the job log open")
        return StageResult(self.name, self.process.returncode, time.monotonic() - self.started, bytes(self.out), bytes(self.err))


class FakeRunner:
    def __init__(self, driver, environment, config_args=()):
        self.driver = [driver] if isinstance(driver, str) else list(driver)
        self.environment = dict(environment)
        self.config_args = list(config_args)

    def job(self, **values):
        return Job(self, **values)

    def run_job(self, script, **values):
        with self.job(**values) as job:
            job.run(script)
            return job.result


class Job:
    """One job: prepare it, run scripts in it, clean up. As a context manager it always cleans up."""

    def __init__(self, runner, job_id=1001, image="", variables=None, response=None, retry_pause=3.0, sink=None, announce=None, cleanup_may_fail=False):
        self.runner, self.id, self.image = runner, job_id, image
        self.variables = dict(variables or {})
        self.retry_pause, self.cleanup_may_fail = retry_pause, cleanup_may_fail
        self.result = JobResult()
        self.settings = {}
        self._lock = threading.Lock()
        self._sink, self._announce = sink, announce
        self.response = {
            "id": job_id, "token": f"job-token-{job_id}", "image": {"name": image, "entrypoint": None}, "services": None,
            "job_info": {"name": "job", "stage": "test", "project_id": 7, "project_name": "demo"},
            "credentials": [], "runner_info": {"timeout": 3600}, "variables": [],
        } | (response or {})
        self.folder = None
        self._new_folder()
        self.cleaned = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.cleaned:
            self.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _new_folder(self):
        """Each try of prepare has a new TMPDIR."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = tempfile.mkdtemp(prefix="custom-executor")
        self.response_file = os.path.join(self.folder, "response.json")
        descriptor = os.open(self.response_file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.response, file)
        self.exit_code_file = os.path.join(self.folder, "build_exit_code")

    def _log(self, chunk):
        with self._lock:
            self.result.log += chunk
            if self._sink:
                self._sink(chunk)

    def environment(self):
        env = dict(self.runner.environment)
        env |= {"TMPDIR": self.folder, "BUILD_FAILURE_EXIT_CODE": str(BUILD_FAILURE), "SYSTEM_FAILURE_EXIT_CODE": str(SYSTEM_FAILURE),
                "BUILD_EXIT_CODE_FILE": self.exit_code_file, "JOB_RESPONSE_FILE": self.response_file}
        env |= self.settings.get("job_env") or {}
        custom = {"CI_JOB_ID": str(self.id), "CI_JOB_IMAGE": self.image, "CI_JOB_SERVICES": "", "CI_JOB_TIMEOUT": "3600", "CI_SERVER": "yes"}
        return env | {f"CUSTOM_ENV_{name}": value for name, value in (custom | self.variables).items()}

    def start(self, name, *arguments, logged=True, env=None):
        if self._announce:
            self._announce(name, arguments)
        argv = self.runner.driver + [name] + self.runner.config_args + list(arguments)
        sink = self._log if logged else (lambda chunk: None)
        label = arguments[1] if name == "run" else name
        return Stage(label, argv, env or self.environment(), self.folder, sink)

    def call(self, name, *arguments, timeout=3600, **options):
        result = self.start(name, *arguments, **options).wait(timeout)
        self.result.stages.append(result)
        return result

    # executors/custom/custom.go: config's stdout is not the log's
    def config(self):
        stage = self.start("config", logged=False)
        result = stage.wait()
        self._log(result.stderr)
        self.result.stages.append(result)
        if result.code == 0:
            self.settings = json.loads(result.stdout) if result.stdout.strip() else {}
            assert isinstance(self.settings, dict), "config's stdout is not one JSON object"
        return result

    def prepare(self):
        """common/build.go: up to three tries of config and prepare; cleanup after each that failed; exit 1 ends the job."""
        for attempt in range(PREPARE_TRIES):
            if attempt:
                time.sleep(self.retry_pause)
                self._new_folder()
            result = self.config()
            if result.code == 0:
                result = self.call("prepare")
            self.result.verdict = result.verdict
            if result.code == 0:
                return True
            self.cleanup()
            self.cleaned = False
            if result.verdict == "build_failure":
                break
        return False

    def write_script(self, content):
        folder = tempfile.mkdtemp(prefix="script", dir=self.folder)
        path = os.path.join(folder, "script")
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o700)
        return path

    def start_script(self, content, stage="build_script"):
        return self.start("run", self.write_script(content), stage)

    def finish_script(self, stage, timeout=3600):
        result = stage.wait(timeout)
        self.result.stages.append(result)
        self.judge(result)
        return result

    def run_script(self, content, stage="build_script", timeout=3600):
        return self.finish_script(self.start_script(content, stage), timeout)

    def judge(self, result):
        """The first failure decides. A build failure's code is the first line of BUILD_EXIT_CODE_FILE, a bare integer; anything
        else there makes it a system failure."""
        verdict, code = result.verdict, None
        if verdict == "build_failure":
            code = BUILD_FAILURE
            if os.path.exists(self.exit_code_file):
                with open(self.exit_code_file, "rb") as file:
                    line = file.read().split(b"\n")[0]
                if re.fullmatch(rb"-?\d+", line):
                    code = int(line)
                else:
                    verdict = "system_failure"
        if verdict != "success" and self.result.verdict == "success":
            self.result.verdict, self.result.exit_code = verdict, code

    def run(self, script, after_script=None):
        """A whole job. The runner's own scripts of the other stages are stood in for by ones that touch the same folders."""
        if self.prepare():
            builds = self.settings.get("builds_dir", "/builds")
            project = f"{builds}/demo/job"
            own = {"prepare_script": "echo Running on $(hostname)...", "get_sources": f"mkdir -p {project}\ncd {project}\ngit init -q ."}
            for stage, body in own.items():
                if self.result.verdict == "success":
                    self.run_script(bash_script(body, self.variables), stage)
            if self.result.verdict == "success":
                content = script if isinstance(script, bytes) else bash_script(f"cd {project}\n{script}", self.variables)
                self.run_script(content, "build_script")
            if after_script is not None:
                self.run_script(bash_script(after_script, self.variables), "after_script")
            self.run_script(bash_script("rm -f /tmp/file-variables"), "cleanup_file_variables")
        self.cleanup()
        return self.result

    def cleanup(self):
        """Its output goes to the runner's own log, and its result changes nothing: so it is looked at here, for nobody else would."""
        self.cleaned = True
        result = self.call("cleanup", logged=False)
        assert result.code == 0 or self.cleanup_may_fail, f"cleanup ended with {result.code}: {result.stderr.decode('utf-8', 'replace')}"
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", required=True)
    parser.add_argument("image")
    parser.add_argument("script", help="file with the job's script")
    args = parser.parse_args()
    with open(args.script, encoding="utf-8") as file:
        script = file.read()

    def show(chunk):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def announce(name, arguments):
        show(f"\033[36;1m$ sarde-executor {' '.join([name, *(os.path.basename(a) for a in arguments)])}\033[0;m\n".encode())

    runner = FakeRunner(args.driver, os.environ)
    with runner.job(job_id=int(time.time()), image=args.image, sink=show, announce=announce) as job:
        result = job.run(script)
    outcome = {"success": "Job succeeded", "build_failure": f"Job failed: exit code {result.exit_code}", "system_failure": "Job failed: system failure"}
    print(f"\n{outcome[result.verdict]}\n\nTime of each stage:")
    for stage in result.stages:
        print(f"  {stage.name:<24} {stage.seconds:8.2f} s")
    sys.exit({"success": 0, "build_failure": 1, "system_failure": 2}[result.verdict])


if __name__ == "__main__":
    main()
