"""`python -m kontext.demo.github --port N`: run the demo GitHub until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from kontext.demo.github.server import Options, build_app


def main() -> None:
    arguments = _parser().parse_args()
    options = Options(
        base_url=f"http://{arguments.host}:{arguments.port}",
        token_lifetime=arguments.token_lifetime,
        state_file=arguments.state,
        inspect=arguments.inspect,
    )
    uvicorn.run(build_app(options), host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kontext.demo.github", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-lifetime", type=int, default=3600, metavar="SECONDS")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep clients and tokens here across restarts")
    parser.add_argument("--inspect", action="store_true", help="add /inspect/ for tests: levers and a record")
    return parser


if __name__ == "__main__":
    main()
