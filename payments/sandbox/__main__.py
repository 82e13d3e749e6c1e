"""
The command line: `python -m payments.sandbox keys|serve`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from payments.sandbox import keys
from payments.sandbox.serve import run


def main() -> int:
    asked = _parser().parse_args()
    if asked.command == "keys":
        print(keys.make(asked.dir))
        return 0
    return run(
        host=asked.host,
        port=asked.port,
        state=asked.dir,
        key_dir=asked.keys,
        time_factor=asked.time_factor,
        app_url=asked.app_url,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m payments.sandbox",
        description="Plays Alipay's and WeChat Pay's gateways on this machine. No real money moves.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("keys", help="make all keys once and print the path of channels.json")
    make.add_argument("--dir", type=Path, required=True, help="where the keys go")
    serve = commands.add_parser("serve", help="answer until stopped; prints one JSON line when ready")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address")
    serve.add_argument("--port", type=int, default=0, help="0 picks a free one")
    serve.add_argument("--dir", type=Path, required=True, help="where the books are kept")
    serve.add_argument("--keys", type=Path, required=True, help="made there if missing")
    serve.add_argument("--time-factor", type=_factor, default=1.0, help="60: an hour passes in a minute")
    serve.add_argument("--app-url", default="", help="where the app is told of its transfers")
    return parser


def _factor(text: str) -> float:
    factor = float(text)
    if factor <= 0:
        raise argparse.ArgumentTypeError("it must be above 0")
    return factor


if __name__ == "__main__":
    sys.exit(main())
