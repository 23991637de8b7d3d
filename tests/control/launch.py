"""Starts an agent as a process of its own: settings file, then perhaps a policy file."""

import logging
import os
import sys
from pathlib import Path

from control.agent import run_agent
from control.settings import load_settings


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings(Path(sys.argv[1]), os.environ)
    return run_agent(settings, Path(sys.argv[2]) if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
