#!/usr/bin/env bash
# link.sh NAME MAC SETTING...: a network card gets its name, addresses and routes, for good.
# A setting is an address, as in 192.0.2.1/24, or a route, as in "198.51.100.0/24 via 192.0.2.254".
set -euo pipefail

name=$1 mac=$2
shift 2

printf '[Match]\nMACAddress=%s\n\n[Link]\nName=%s\n' "$mac" "$name" >"/etc/systemd/network/10-$name.link"
{
	printf '[Match]\nName=%s\n\n[Network]\nIPv6AcceptRA=no\n' "$name"
	for setting; do
		case $setting in
		*' via '*) printf '\n[Route]\nDestination=%s\nGateway=%s\n' "${setting% via *}" "${setting#* via }" ;;
		*) printf '\n[Address]\nAddress=%s\n' "$setting" ;;
		esac
	done
} >"/etc/systemd/network/10-$name.network"

now=
for address in /sys/class/net/*/address; do
	if [[ $(<"$address") == "$mac" ]]; then
		now=$(basename "$(dirname "$address")")
	fi
done
if [[ -z $now ]]; then
	echo "link.sh: no network card has the address $mac" >&2
	exit 1
fi
if [[ $now != "$name" ]]; then
	ip link set "$now" down
	ip link set "$now" name "$name"
fi

systemctl enable --quiet --no-reload systemd-networkd
systemctl restart systemd-networkd
/lib/systemd/systemd-networkd-wait-online --interface="$name" --timeout=60
