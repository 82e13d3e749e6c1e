"""Every word is said in both languages."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script):
    return subprocess.run(
        [sys.executable, f"scripts/{script}", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_string_of_code_and_templates_is_translated():
    done = run("extract-messages")
    assert done.returncode == 0, done.stdout + done.stderr


def test_compiled_catalogues_are_fresh():
    done = run("compile-messages")
    assert done.returncode == 0, done.stdout + done.stderr
