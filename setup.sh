#!/usr/bin/env bash
# Debian packages, .venv on the system's Python (which sees Debian's bcc), locked
# Python packages, the `peergate` command. Does only what is not done yet.
# More groups of debian-packages.txt are arguments: ./setup.sh vm deb
set -euo pipefail
cd "$(dirname "$0")"

groups=" run test demo $* "
packages=()
group=
while read -r word _; do
	case $word in
	'' | '#'*) ;;
	'['*']') group=${word:1:-1} ;;
	*) [[ $groups != *" $group "* ]] || packages+=("$word") ;;
	esac
done <debian-packages.txt
missing=()
for package in "${packages[@]}"; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]})); then
	if ((EUID != 0)); then
		echo "setup: these Debian packages are missing: ${missing[*]}. Run as root, or install them first." >&2
		exit 1
	fi
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# Of packages that bring servers (promtool is one's) only the programs are wanted.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		install -m 755 /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101'
	fi
	apt-get update -q
	apt-get install -q -y --no-install-recommends "${missing[@]}"
	[[ " ${missing[*]} " != *" prometheus "* ]] || update-rc.d prometheus disable
fi

stamp=.venv/.installed-from
wanted=$(sha256sum requirements.lock pyproject.toml setup.sh)
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
	exit 0
fi
echo "setup: Python packages into .venv"
/usr/bin/python3 -m venv --clear --system-site-packages .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
PYTHONWARNINGS=ignore .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
echo "$wanted" >"$stamp"
