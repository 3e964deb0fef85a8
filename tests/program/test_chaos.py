"""Hundreds of jobs with a SIGKILL at a random moment of a random process, and what must hold afterwards.

SARDE_CHAOS_JOBS: how many jobs on the stand-in hypervisor. SARDE_CHAOS_SEED: an earlier run's choices (not its timing).
"""
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import traceback

from conftest import TOP
from chaos_job import WatchedJob, drive
from fake_runner import FakeRunner
from standin import Process, Standin, diff_ids, held_locks, kill_child, no_process_of, sha256, temporary_files, wrong_blobs

JOBS = int(os.environ.get("SARDE_CHAOS_JOBS", "250"))
SEED = int(os.environ.get("SARDE_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
BATCH = 25
AT_ONCE = 4
LONGEST = 100  # s, for a stage: two that wait for each other do so for fetch-timeout, 120

# Who is killed, in which stage, and how often that is drawn.
PLANS = {("stage", "prepare"): 8, ("group", "prepare"): 3, ("skopeo", "prepare"): 8, ("disk server", "prepare"): 6, ("qemu", "prepare"): 4, ("runner", "prepare"): 4,
         ("lone runner", "prepare"): 3, ("stage", "build_script"): 4, ("qemu", "build_script"): 3, ("runner", "build_script"): 3, ("lone runner", "build_script"): 2,
         ("stage", "cleanup"): 4, ("runner", "cleanup"): 2, ("qemu", "cleanup"): 1}
RUNNERS = ("runner", "lone runner")  # with the stage that it has started, or without
ADMIN = {"rm": 5, "gc": 4, "fetch": 4, "pull": 2, "import": 2, "prune": 2, "list": 1}
# Files of a job's folder, and others, at whose appearance something is killed.
MOMENTS = {"prepare": ["jobs/{vm}", "jobs/{vm}/lock", "jobs/{vm}/image", "jobs/{vm}/overlay-*", "jobs/{vm}/vm-started", "jobs/{vm}/record.json", "jobs/.*", "vms/.incoming-*",
                       "oci/.sarde-fetch-*", "domains/running/{vm}"],
           "build_script": ["domains/running/{vm}"], "cleanup": ["jobs/{vm}"]}


class Tally:
    """What was killed where, and how jobs ended."""

    def __init__(self):
        self.kills, self.outcomes, self.lock = collections.Counter(), collections.Counter(), threading.Lock()

    def kill(self, victim, stage, where=""):
        with self.lock:
            self.kills[(victim, stage, where)] += 1

    def outcome(self, kind, verdict):
        with self.lock:
            self.outcomes[(kind, verdict)] += 1

    def show(self, title):
        print(f"\n{title}\nkills: {sum(self.kills.values())}")
        for (victim, stage, where), count in sorted(self.kills.items()):
            print(f"  {count:4}  {victim:10} {stage:14} {where}")
        print("jobs:")
        for (kind, verdict), count in sorted(self.outcomes.items()):
            print(f"  {count:4}  {kind:28} {verdict}")


def how_far(standin, vm):
    """Where a prepare is, from what it has put down."""
    folder = standin.jobs / str(vm)
    try:
        there = {path.name.split("-")[0] for path in folder.iterdir()}
    except OSError:
        return "1 at its beginning"
    if "record.json" in there:
        return "7 ready"
    if standin.guest_pid(vm) is not None:
        return "6 booting"
    for name, step in (("vm", "5 starting the VM"), ("overlay", "4 making disks"), ("image", "3 fetching or unpacking")):
        if name in there:
            return step
    return "2 looking at the image"


class Plan:
    """The killing of one process of one job."""

    def __init__(self, rng, world, choice=None):
        self.world = world
        self.victim, self.stage = choice or rng.choices(list(PLANS), PLANS.values())[0]
        self.moment = rng.choice(MOMENTS[self.stage]) if not choice and rng.random() < 0.4 else None
        self.after = rng.random() * (0.02 if self.moment else 1.0)  # of the stage's usual duration
        self.runner_first = rng.random() < 0.5
        self.fell = False
        self.fired = False
        self.threads = []

    def stage_started(self, name, pid, vm, runner_pid=None):
        if name != self.stage or self.fired:
            return
        self.fired = True
        try:
            process = Process(pid)
        except ProcessLookupError:
            return
        thread = threading.Thread(target=self.wait_and_kill, args=(process, vm, runner_pid))
        self.threads.append(thread)
        thread.start()

    def wait_and_kill(self, process, vm, runner_pid):
        with process:
            deadline = time.monotonic() + self.world.usual(self.stage) * self.after
            while self.moment and not any(self.world.standin.folder.glob(self.moment.format(vm=vm))):
                if not self.lives(process.pid):
                    return
                time.sleep(0.001)
                deadline = time.monotonic() + self.world.usual(self.stage) * self.after
            time.sleep(max(0, deadline - time.monotonic()))
            # skopeo and QEMU come and go: their time is when they are there.
            while not self.fell and self.lives(process.pid):
                where = how_far(self.world.standin, vm) if self.stage == "prepare" else ""
                self.fell = self.kill(process, vm, runner_pid)
                if self.fell:
                    self.world.tally.kill(self.victim, self.stage, where)
                    if self.victim == "lone runner" and not process.ends_within(LONGEST):
                        self.world.complain(f"{self.stage} of {vm} goes on without its runner; it is at {how_far(self.world.standin, vm)}")
                    return
                time.sleep(0.002)

    @staticmethod
    def lives(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def kill(self, process, vm, runner_pid):
        if self.victim == "stage":
            return process.kill()
        if self.victim == "group":
            return self.kill_group(process.pid)
        if self.victim == "skopeo":
            return kill_child(process.pid, "skopeo")
        if self.victim == "disk server":
            return kill_disk_server(self.world.standin)
        if self.victim == "qemu":
            guest = self.world.standin.guest_pid(vm)
            return guest is not None and kill_pid(guest)
        if self.victim == "libvirtd":
            return self.world.standin.kill_libvirtd()
        with Process(runner_pid) as runner:
            if self.victim == "lone runner":
                return runner.kill()
            if self.runner_first:
                runner.kill()
            self.kill_group(process.pid)
            runner.kill()
        return True

    @staticmethod
    def kill_group(pid):
        try:
            os.killpg(pid, signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False

    def join(self):
        for thread in self.threads:
            thread.join()


def kill_disk_server(world):
    """Any one: most belong to several jobs."""
    for record in world.vms.glob(".lazy-*/.process"):
        try:
            pid = int(record.read_text().split()[0])
            if b"sarde-disk-server" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() and kill_pid(pid):
                return True
        except (OSError, ValueError, IndexError):
            pass
    return False


def kill_pid(pid):
    try:
        with Process(pid) as process:
            return process.kill()
    except ProcessLookupError:
        return False


class World:
    """One run: the images, jobs that come and go, an administrator at work, and the book of it all."""

    def __init__(self, standin, images, rng, usual=0.4, pause=0.1, script=(0.05, 0.3)):
        self.standin, self.images, self.rng, self.pause, self.script = standin, images, rng, pause, script
        self.tally = Tally()
        self.durations = collections.defaultdict(lambda: collections.deque([usual], maxlen=12))
        self.wrong = []
        self.all_may_fail = False  # libvirtd was killed, on which all jobs rest
        self.lock = threading.Lock()

    def usual(self, stage):
        with self.lock:
            return sum(self.durations[stage]) / len(self.durations[stage])

    def took(self, stage, seconds):
        with self.lock:
            self.durations[stage].append(seconds)

    def complain(self, what):
        with self.lock:
            self.wrong.append(what)

    def one_job(self, number, seed, choice=None):
        rng = random.Random(seed)
        plan = Plan(rng, self, choice) if choice or rng.random() < 0.6 else None
        values = {"id": 8000 + number, "image": rng.choice(self.images), "seconds": round(rng.uniform(*self.script), 2), "pause": self.pause}
        environment = {"SARDE_PULL_POLICY": rng.choice(["always", "if-not-present"]), "SARDE_LAZY": rng.choice(["always", "off"])}
        if plan and plan.victim in RUNNERS:
            verdict, log = self.job_of_a_runner_that_dies(values, environment, plan)
        else:
            verdict, log = self.job_of_a_runner_that_lives(values, environment, plan)
        killed = plan is not None and plan.fell
        self.tally.outcome(f"{plan.victim} killed in {plan.stage}" if killed else "nothing killed", verdict)
        allowed = {"success"}
        if killed and plan.victim in RUNNERS:
            allowed.add("never ended")
        elif killed and plan.stage != "cleanup" or self.all_may_fail:
            allowed.add("system_failure")
        said = f"job {values['id']} was here"
        if verdict not in allowed or (verdict == "success" and said not in log):
            what = f"{plan.victim} killed in {plan.stage}" if killed else "nothing was killed"
            self.complain(f"job {values['id']} ({what}) ended with {verdict}:\n{log}")

    def job_of_a_runner_that_lives(self, values, environment, plan):
        def started(job, stage):
            if plan:
                plan.stage_started(stage.name, stage.process.pid, job.settings.get("hostname"))

        with WatchedJob(self.standin.runner(**environment), job_id=values["id"], image=values["image"], retry_pause=self.pause, started=started) as job:
            result = drive(job, values["seconds"])
            if plan:
                plan.join()
            for stage in result.stages:
                if stage.seconds > LONGEST:
                    self.complain(f"{stage.name} of job {values['id']} took {stage.seconds:.0f} s:\n{result.text}")
                if stage.code == 0:
                    self.took(stage.name, stage.seconds)
            return result.verdict, result.text

    def job_of_a_runner_that_dies(self, values, environment, plan):
        order = values | {"program": self.standin.program, "environment": self.standin.environment | environment}
        last = {}
        with subprocess.Popen([sys.executable, TOP / "tests/support/chaos_job.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"TMPDIR": str(self.standin.folder)}) as runner:
            runner.stdin.write(json.dumps(order))
            runner.stdin.close()
            for line in runner.stdout:
                try:
                    last = json.loads(line)
                except json.JSONDecodeError:
                    break  # it was killed while it wrote
                if "stage" in last:
                    plan.stage_started(last["stage"], last["pid"], last["vm"], runner.pid)
            plan.join()
        return last.get("verdict", "never ended"), last.get("log", "")

    def administrate(self, jobs_are_over, seed):
        rng = random.Random(seed)
        while not jobs_are_over.is_set():
            command = rng.choices(list(ADMIN), ADMIN.values())[0]
            arguments = [command] + ([rng.choice(self.images)] if command in ("rm", "fetch", "pull", "import") else [])
            process = subprocess.Popen([self.standin.program, *arguments], env=self.standin.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                       process_group=0)
            started, killed = time.monotonic(), False
            if rng.random() < 0.35:
                time.sleep(rng.random() * self.usual(f"admin {command}"))
                victim = rng.choice(["it", "skopeo"]) if command in ("fetch", "pull") else "it"
                killed = process.poll() is None and (kill_pid(process.pid) if victim == "it" else kill_child(process.pid, "skopeo"))
                if killed:
                    self.tally.kill("admin's" if victim == "it" else "skopeo", command)
            said = process.communicate(timeout=120)[1]
            if not killed:
                self.took(f"admin {command}", time.monotonic() - started)
                refusals = {"rm": ("is used by", "another process is using it", "is not in"), "import": ("is not in",)}
                if process.returncode != 0 and not any(text in said for text in refusals.get(command, ())):
                    self.complain(f"{arguments} ended with {process.returncode}:\n{said}")
            self.tally.outcome(f"admin's {command}", "killed" if killed else f"exit {process.returncode}")
            jobs_are_over.wait(rng.random() * 0.5)

    def batch(self, numbers, choices=None, at_once=AT_ONCE, administrator=True):
        """Some jobs at once with an administrator beside them; then one gc, and all must be in order. `choices`: what is killed in
        each, rather than drawn; None for nothing."""
        waiting = collections.deque((number, self.rng.randrange(1 << 60), (choices or {}) and choices[i]) for i, number in enumerate(numbers))

        def work():
            while True:
                try:
                    number, seed, choice = waiting.popleft()
                except IndexError:
                    return
                try:
                    self.one_job(number, seed, choice)
                except Exception:  # noqa: BLE001: a thread's exception would be lost
                    self.complain(f"the test itself, job {number}: {traceback.format_exc()}")

        over = threading.Event()
        workers = [threading.Thread(target=work) for _ in range(at_once)]
        admin = threading.Thread(target=self.administrate, args=(over, self.rng.randrange(1 << 60)))
        for thread in workers + [admin] * administrator:
            thread.start()
        for thread in workers:
            thread.join()
        over.set()
        if administrator:
            admin.join()
        said = self.standin.run("gc").stderr
        if violations := self.standin.violations():
            self.wrong += [*violations, f"gc had said: {said}"]


def test_anything_may_die_at_any_time(place, tmp_path):
    print(f"\nSARDE_CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    standin = Standin(place, tmp_path / "world")
    images = [standin.publish(rng, "two", [6144, 512]), standin.publish(rng, "large", [24576]), standin.publish(rng, "chain", [8192, 1024, 256], chained=True),
              standin.publish(rng, "many", [700] * 6), standin.publish(rng, "five", [4096] * 3)]
    world = World(standin, images, rng)
    start = time.monotonic()
    for first in range(0, JOBS, BATCH):
        world.batch(range(first, min(first + BATCH, JOBS)))
        # While jobs run, an image is hardly ever free to go.
        for image in images:
            standin.run("rm", image, check=False)
        if world.wrong:
            break
    world.tally.show(f"chaos, seed {SEED}: jobs on the stand-in hypervisor, {time.monotonic() - start:.0f} s")
    assert not world.wrong, f"SARDE_CHAOS_SEED={SEED}\n" + "\n".join(world.wrong)


def test_an_image_that_is_removed_whenever_nobody_uses_it(place, tmp_path):
    """Between finding an image and saying that it is in use, a job may lose it: it then brings it again."""
    standin = Standin(place, tmp_path / "world", boot_milliseconds=0)
    reference = standin.publish(random.Random(1), "one", [512])
    over, failures, removals = threading.Event(), [], collections.Counter()

    def remove():
        while not over.is_set():
            removals[standin.run("rm", reference, check=False).returncode] += 1

    def jobs(first, policy):
        for number in range(first, first + 20):
            with standin.runner(SARDE_PULL_POLICY=policy).job(job_id=number, image=reference) as job:
                job.config()
                prepared = job.call("prepare")
                if prepared.code != 0:
                    failures.append(prepared.stderr.decode())

    workers = [threading.Thread(target=jobs, args=(7910, "always")), threading.Thread(target=jobs, args=(7950, "if-not-present"))]
    removers = [threading.Thread(target=remove) for _ in range(2)]
    for thread in workers + removers:
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    for thread in removers:
        thread.join()
    print(f"\n{removals[0]} removals beside 40 jobs")
    assert failures == [] and removals[0] > 0 and standin.violations() == []


def test_a_disk_that_is_not_whole_would_be_seen(place, tmp_path):
    """The chaos test's own eyes are tested: one byte of an unpacked disk changes, and nothing that a job looks at."""
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(1), "one", [512])
    with standin.runner().job(job_id=7901, image=reference) as job:
        assert drive(job, 0).verdict == "success" and standin.violations() == []
        (disk,) = standin.vms.glob("*/disk0.raw")
        marker = disk.with_name(".sarde-image.json")
        noted = json.loads(marker.read_text())
        for entry in noted["disks"]:
            del entry["pieces"]  # with which the program would see it itself
        marker.write_text(json.dumps(noted))
        before = disk.stat()
        with open(disk, "r+b") as file:
            file.seek(300_000)
            byte = file.read(1)
            file.seek(300_000)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(disk, ns=(before.st_atime_ns, before.st_mtime_ns))
        drive(job, 0)
        assert any(line.startswith("QEMU: ") and "which is no image's" in line for line in standin.violations())


def test_a_prepare_whose_runner_has_ended_makes_no_vm(place, tmp_path):
    """Its parent is init by then, or some other process that lives on: it would be taken for a living runner."""
    standin = Standin(place, tmp_path / "world")
    reference = standin.publish(random.Random(1), "one", [512])
    with standin.runner().job(job_id=7900, image=reference) as job:
        job.config()
        reader, writer = os.pipe()
        os.close(reader)
        prepare = subprocess.run([standin.program, "prepare"], env=job.environment(), stderr=writer, stdout=writer, process_group=0)
        os.close(writer)
        assert prepare.returncode == 2
        assert standin.violations() == []


class RealGuests:
    """The same questions as to the stand-in, put to libvirt and QEMU."""

    def __init__(self, place, folder):
        self.place, self.folder, self.program = place, folder, place.program
        self.environment = place.environment | place.store(folder) | {"SARDE_WARM": "auto"}
        self.jobs, self.oci, self.vms = folder / "jobs", folder / "oci", folder / "vms"
        run = pathlib.Path("/run" if os.geteuid() == 0 else os.environ["XDG_RUNTIME_DIR"])
        self.libvirtd_pid = run / "libvirt/libvirtd.pid"
        self.restarted = threading.Lock()

    def runner(self, **environment):
        return FakeRunner(self.program, self.environment | environment)

    def run(self, *arguments):
        return self.place.run(*arguments, env=self.environment)

    def guest_pid(self, vm):
        return next(iter(self.place.qemu_pids(vm)), None)

    def kill_libvirtd(self):
        """Dead for a second, then started again as private-libvirt does; an ordinary user's is started by who needs it."""
        with self.restarted:
            if not kill_pid(int(self.libvirtd_pid.read_text())):
                return False
            time.sleep(1)
            if os.geteuid() == 0:
                self.libvirtd_pid.unlink(missing_ok=True)
                subprocess.run(["/usr/sbin/libvirtd", "-d", "--pid-file", self.libvirtd_pid], check=True)
            return True

    def violations(self):
        wrong = [f"a process is left: {pid} {line}" for pid, line in no_process_of(self.folder).items()]
        wrong += [f"a domain is left: {name}" for name in self.place.domains()] + [f"QEMU is left: {pid}" for pid in self.place.qemu_pids()]
        wrong += [f"a job's folder is left: {path}" for path in self.jobs.iterdir()]
        wrong += [f"not unpacked as exported: {disk}" for disk in self.vms.glob("*/*.qcow2") if sha256(disk) not in diff_ids(self.oci)]
        return wrong + temporary_files(self.oci, self.vms, self.jobs) + held_locks(self.oci, self.vms, self.jobs) + wrong_blobs(self.oci)


REAL_PLANS = [("stage", "prepare"), ("qemu", "build_script"), ("libvirtd", "prepare"), ("runner", "build_script"), ("qemu", "prepare"), None, ("stage", "build_script"),
              ("stage", "cleanup"), ("libvirtd", "build_script")]


def test_anything_may_die_at_any_time_with_real_guests(place, small_image, tmp_path):
    rng = random.Random(SEED)
    world = World(RealGuests(place, tmp_path), [small_image], rng, usual=9, pause=1, script=(1, 2))
    world.durations["build_script"] = collections.deque([1.0], maxlen=1)
    world.durations["cleanup"] = collections.deque([0.08], maxlen=1)
    world.all_may_fail = True
    start = time.monotonic()
    # The jobs that an interrupted libvirtd may hurt are all those beside it: hence any may fail, but none by its own fault.
    world.batch(range(1000, 1000 + len(REAL_PLANS)), REAL_PLANS, at_once=2, administrator=False)
    world.tally.show(f"chaos, seed {SEED}: jobs with real guests, {time.monotonic() - start:.0f} s")
    assert not world.wrong, f"SARDE_CHAOS_SEED={SEED}\n" + "\n".join(world.wrong)
