#!/bin/sh
# Prints the interpreter that `make setup` uses: the one named as $1, or else the newest supported one on the PATH.
# Where there is none, one line says what was found and what to do. It needs no program but the shell itself.
set -u
supported="3.14 3.13 3.12 3.11" # newest first; constraints.txt and pyproject.toml name the same
range="3.11 to 3.14"

# As `3.12`; nothing where the interpreter does not run.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() {
    case " $supported " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# Debian's python3 comes without ensurepip, which `python3 -m venv` then misses half-way.
has_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

newest() {
    for wanted in $supported; do
        for name in "python$wanted" python3 python; do
            if [ "$(version_of "$name")" = "$wanted" ] && has_venv "$name"; then
                echo "$name"
                return
            fi
        done
    done
}

# What is wrong with an interpreter, as a sentence without its end.
fault_of() {
    version=$(version_of "$1")
    if [ -z "$version" ]; then
        echo "$1 is missing or does not run"
    elif is_supported "$version"; then
        echo "$1 is Python $version without venv (Debian, Ubuntu: apt install python$version-venv)"
    else
        echo "$1 is Python $version"
    fi
}

found=$(newest)
if [ -z "${1:-}" ] && [ -n "$found" ]; then
    echo "$found"
elif [ -n "${1:-}" ] && is_supported "$(version_of "$1")" && has_venv "$1"; then
    echo "$1"
elif [ -n "$found" ]; then
    echo "make: $(fault_of "$1"); Zeuxis needs Python $range, as $found is: make PYTHON=$found setup" >&2
    exit 1
else
    echo "make: $(fault_of "${1:-python3}"), and no Python from $range is on the PATH; install one" \
        "(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13)" \
        "or name it: make PYTHON=/path/to/python3.12 setup" >&2
    exit 1
fi
