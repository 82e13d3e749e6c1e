"""`python -m operations.crowd PLAN.json`: run the crowd, show it, write its summary."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from operations.crowd.progress import display
from operations.crowd.run import Plan, run_until_stopped

INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m operations.crowd", description=__doc__)
    parser.add_argument("plan", type=Path, help="a plan as operations.crowd.run.Plan writes it")
    plan = Plan.read(parser.parse_args().plan)
    tally = asyncio.run(run_until_stopped(plan, show=display()))
    if tally is None:
        return INTERRUPTED
    if plan.summary:
        Path(plan.summary).write_text(json.dumps(tally.summary(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
