"""A stand-in for Slurm: called by the names of its commands, it runs an array's jobs side by side on this machine.

A job that is requeued by scontrol, or ended by SIGTERM as one that is preempted, runs again.
"""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["SLURM_STAND_IN"])
SCRIPT = STATE / "script.sh"
PREEMPTED = 128 + 15


def sbatch(file: str) -> None:
    SCRIPT.write_text(Path(file).read_text())
    found = re.search(r"--array=0-(\d+)", SCRIPT.read_text())
    for number in range(int(found[1]) + 1 if found else 0):
        apart = {"start_new_session": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        subprocess.Popen([sys.executable, __file__, "task", str(number)], stderr=subprocess.DEVNULL, **apart)
    print("Submitted batch job 777")


def task(number: str) -> None:
    own = {"SLURM_ARRAY_JOB_ID": "777", "SLURM_ARRAY_TASK_ID": number, "SLURM_JOB_ID": f"{777 + int(number)}"}
    own |= {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    again = STATE / f"requeue-777_{number}"
    while True:
        code = subprocess.run(["bash", str(SCRIPT)], env=os.environ | own).returncode
        if code != PREEMPTED and not again.exists():
            return
        with (STATE / "requeued").open("a") as log:
            print(number, code, file=log)
        again.unlink(missing_ok=True)


def srun(*words: str) -> None:
    job = f"777_{os.environ['SLURM_ARRAY_TASK_ID']}"
    places = dict(itertools.pairwise(words))
    out, err = (
        places[name].replace("%A_%a", job).replace("%j", job).replace("%t", "0") for name in ("--output", "--error")
    )
    command = words[words.index(places["--error"]) + 1 :]
    with open(out, "a") as stdout, open(err, "a") as stderr:
        code = subprocess.run(command, stdout=stdout, stderr=stderr).returncode
    sys.exit(128 - code if code < 0 else code)


def scontrol(action: str, job: str) -> None:
    (STATE / f"{action}-{job}").touch()


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")


if __name__ == "__main__":
    own = {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "sacct": sacct}[Path(sys.argv[0]).name]
    task(sys.argv[2]) if sys.argv[1] == "task" else own(*sys.argv[1:])
