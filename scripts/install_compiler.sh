#!/usr/bin/env bash
# A C++ compiler, which the tests on pretended devices need (tests/devices/guard.cpp): they skip without one, and say so.
# Installs it where apt-get may (Debian and Ubuntu, as root); elsewhere says what to install. Zeuxis itself needs none.
set -euo pipefail

if ! command -v g++ >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing g++ ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null
  else
    echo "The tests on pretended devices need g++; install it with your system's package manager." >&2
  fi
fi
