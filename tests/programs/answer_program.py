"""Runs `deconv-ae` and programs of scripts/ as from a shell; prints how each ended and which slow packages it loaded.

Each program is forked from this process, which has loaded only absl, so that Python starts once.

python answer_program.py SCRIPTS '[["train.py", "--help"], ["deconv-ae", "train", "--help"], ...]'
"""

import contextlib
import io
import json
import os
import runpy
import sys
import traceback

from absl import app, flags

assert app and flags

SLOW_PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "PIL")


def start(scripts: str, program: str) -> None:
    if program == "deconv-ae":
        from deconv_ae_programs.commands import main

        main()
    else:
        runpy.run_path(f"{scripts}/{program}", run_name="__main__")


def run(scripts: str, command: list[str]) -> dict[str, object]:
    reader, writer = os.pipe()
    if not os.fork():
        sys.argv = command
        stdout, stderr = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                start(scripts, command[0])
        except SystemExit as ended:
            loaded = [name for name in SLOW_PACKAGES if name in sys.modules]
            answer = {"status": ended.code, "loaded": loaded, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}
            with open(writer, "w") as report:  # noqa: PTH123 (a pipe)
                json.dump(answer, report)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.close(writer)
    with open(reader) as report:  # noqa: PTH123 (a pipe)
        return json.load(report)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(json.dumps([run(sys.argv[1], command) for command in json.loads(sys.argv[2])]))
