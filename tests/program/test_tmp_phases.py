import re,time
from test_warm import warm, ready, made, runner_of, forget
from fake_runner import bash_script
def test_phases(place, warm):
    made(place, warm)
    for n in range(4):
        with ready(place, warm, 7060+n, 'verbosity = 2\n') as job:
            t=job.result.stages[-1].seconds if job.result.stages else None
            print(t); print(job.result.text)
            for i in range(3):
                b=time.monotonic(); job.run_script(bash_script("true")); print("run true", time.monotonic()-b)
