#!/usr/bin/env bash
# What is in /lab/bin becomes a command.
set -euo pipefail

ln -sf /lab/bin/* /usr/local/bin/
