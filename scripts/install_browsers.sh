#!/usr/bin/env bash
# Chromium and Firefox as the distribution ships them, and what npm has to check the page's modules: for the page's tests.
# Installs what is missing where apt-get may (Debian and Ubuntu, as root); elsewhere says what to install. Nothing of it
# is needed to use Zeuxis: tests that miss a browser skip, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
command -v firefox-esr >/dev/null || command -v firefox >/dev/null || missing+=(firefox-esr)
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing ${missing[*]} ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The page's tests need ${missing[*]}; install it with your system's package manager." >&2
  fi
fi

if command -v npm >/dev/null; then
  npm ci --prefix tests/page --no-audit --no-fund --silent
else
  echo "npm is not installed; types and accessibility of the page are not checked." >&2
fi
